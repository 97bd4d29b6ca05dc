"""The studies, in the order of the lecture."""

import experiments.viewpoints.__main__ as viewpoints
from experiments.common.study import Study

STUDIES: dict[str, Study] = {study.name: study for study in (viewpoints.STUDY,)}
