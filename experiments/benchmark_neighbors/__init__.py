"""How fast are exact nearest neighbours, beside FAISS and scikit-learn?

Question. The k nearest of some CIFAR-10 test images among all 50,000 training images of
3,072 uint8 pixels: how long do squared Euclidean distance (`l2`) and Manhattan (`l1`)
take in jaxlin, in FAISS (`IndexFlatL2`, `METRIC_L1`) and in scikit-learn (brute force)?
How much memory does the search take beyond the data (`memory`), what does
`jax.lax.approx_min_k` find of the exact neighbours (`recall`), and how well does one
neighbour classify the whole test set (`accuracy`)?

Method. One process; every searcher is called once first, which compiles ours (reported
apart), then all have their turns round by round, so that a change of the machine's
speed meets them alike; medians over rounds. What FAISS does once for all searches
(copying float32 rows) is not in its time; ours has nothing prepared and reads the uint8
rows in every call. The peers' threads are as many as the process may use. All must find
the same neighbours: the share of equal ones is printed (float32 lets FAISS exchange
rows that are equally near to seven digits).

Result. See ``docs/results.md``.

Command. ``python -m experiments.benchmark_neighbors`` after ``pip install -e
".[benchmark]"``; ``--what l2 l1`` for the ratios alone, ``--what accuracy`` for the
accuracies of 1-NN on all test images, ``--smoke`` to see it all on digits in seconds.
"""
