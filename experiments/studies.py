"""The studies, in the order of the lecture."""

import experiments.hard_cases.__main__ as hard_cases
import experiments.viewpoints.__main__ as viewpoints
from experiments.common.study import Study

STUDIES: dict[str, Study] = {
    study.name: study for study in (viewpoints.STUDY, hard_cases.STUDY)
}
