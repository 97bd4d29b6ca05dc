"""How fast does each solver reach the optimum of a linear classifier?

Question. On the same rows, objective and cores: after how many seconds and gradient
passes is each solver within 1e-2, 1e-3 and 1e-4 of the optimum (`compare`)? How
does the time of a fit grow with examples, features and classes (`growth`)?

Method. Ours is timed until it has proven its gap, preparation included, a peer
(scikit-learn, LIBLINEAR, PyTorch, optax, jaxopt) until its objective is that near the
one of a reference in float64, which it cannot know. Every solver has a process of its
own; every point is judged by the same objective in NumPy float64, with the bias trick
for all and constants converted. The page of a run shows the settings of each.

Result. CIFAR-10, softmax, two cores: 15 times as fast as scikit-learn's best at l2 =
1e-3, 23 to 31 times at 1e-4; Crammer-Singer 28 times as fast as LIBLINEAR at 1e-3,
one-vs-rest 64 times. On digits, a thousand small rows, the specialists are two to four
times as fast as ours. ``docs/results.md`` says which cells have not been run.

Command. ``python -m experiments.benchmark_solvers`` after ``pip install -e
".[benchmark]"``; hours on CIFAR-10. Results are written after every solver: a run that
was cut goes on with ``--resume RUN``. Parts of it: ``--what growth``, or ``--what
compare --losses softmax_cross_entropy --l2s 1e-3``; ``--smoke`` to see it all in less
than a minute. On two of many cores: ``taskset -c 0,1``; beside an accelerator:
``JAX_PLATFORMS=cpu``. A peer whose library is missing is listed as failed.

`measure` names the parts: `growth`, and one for each solver of each loss and l2: `ours`
and the peers of the table in `peers`, each in a process of its own (`isolation`);
`rows` judges their points, `reached` makes times and ratios of them.
"""
