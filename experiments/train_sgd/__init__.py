"""Multiclass SVM against softmax by minibatch SGD: grids, seeds, learning curves.

Question. The same as that of ``experiments.svm_vs_softmax``, asked of the optimiser
that is used in practice: what accuracy does SGD reach with each loss, how much do
learning rate, penalty and seed matter?

Method. A stratified part of the training set is held out. Each loss trains a grid of
(l2, learning rate) for several seeds as one compiled program (`jaxlin.train`); the
setting with the best mean validation accuracy is trained again on all training
examples. The test set is read once, after that.

Result. CIFAR-10, raw pixels, 12 settings a loss, 3 seeds: softmax 41.51 %, SVM 39.81 %;
seeds differ by 0.01 and 0.08 points; first seeds, paired: +1.79 points, 95 % [1.22,
2.37]. The certified fits reach 41.61 % and 39.85 %.

Command. ``python -m experiments.train_sgd`` (CIFAR-10), ``--dataset digits``,
``--smoke``.
"""
