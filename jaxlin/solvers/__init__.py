"""Methods that find the best W: each is a `Solver` for the one loop in `base`.

  base           the roles (Examples, Settings, Solver), mapping over models, the loop
  minibatch      epochs of minibatch steps with any optax transformation
  random_search  the lecture's search without gradients, global and local
  certified      full-batch fits that stop when they can prove how good they are
  streaming      the same over blocks of rows

`jaxlin.fit`, `jaxlin.sweep` and `jaxlin.train` are the one calls. For own loops import
the module that you need: ``from jaxlin.solvers import base``.
"""
