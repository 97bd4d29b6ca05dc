"""What do hundreds of certified models cost, run as one program?

Question. Against the machine and the plain formulations: how long is one pass over the
rows (`gradient`)? Against one model: how does a pass's price fall with the
number of models that share it (`rate`)? Against models run alone: how many passes
does a sweep of folds, losses and l2 pay for (`folds`)? Against scikit-learn: how long
does a probe over 45 values of C take (`cs`)?

Method. Rows as everywhere: raw pixels / 255, less the mean row, bias penalised. `rate`
times the pass over the rows for lanes of 1 to 512 models and compares it with the
fastest product that the same machine makes in the same run. `folds` counts what every
slot was evaluated for, idle ones too, and fits the models of one fold alone, each from
zero. `cs` takes DINOv2's 45 values, certified to 1e-3 where l2 is at least 1e-5, a few
passes below, where the gap reached is printed; scikit-learn's
``LogisticRegression(C=..., fit_intercept=False)`` on the same float32 rows with a
column of ones, otherwise at its defaults, for some of the values, and then with more
iterations until its objective is that of ours; the rest is extrapolated and says so.

Result. CIFAR-10, two cores: a gradient at 2.1 to 2.4 times the machine's floor; 160
models of five folds certified to 1e-3 in 9 to 11 minutes, for .86 times the passes
that they need alone; 45 values of C in 16 to 24 s from day to day, 52 times as fast as
scikit-learn at its defaults in the run that compared them (17.5 s); 32 models at 49 to
84 % of the machine's matrix rate. ``docs/results.md`` says on which machine.

Command. ``python -m experiments.benchmark_sweep`` after ``pip install -e
".[benchmark]"``; half an hour on CIFAR-10, most of it scikit-learn's. Parts: ``--what
rate``. ``--smoke`` to see it all on digits in a minute.
"""
