"""Methods that find the best W: each is a `Solver` for the one loop in `base`.

`base` has the roles (Problem, Settings, Solver), mapping over models and the loop;
`minibatch` trains in epochs of minibatch steps with any optax transformation.
"""
