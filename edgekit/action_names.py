"""Names of actions, in the order in which published SlowFast networks give their scores.

- `AVA80`: the 80 classes of AVA v2.2 (Gu et al., "AVA: A Video Dataset of Spatio-temporally Localized Atomic
  Visual Actions", CVPR 2018; ava_action_list_v2.2.pbtxt). Class `i` has the id `i + 1` there. 1 to 14 are
  poses, 15 to 63 what is done with an object, 64 to 80 what is done with a person.
- `AVA60`: the ids of the 60 classes that are evaluated, those with 25 examples or more in the validation and
  test sets (ava_action_list_v2.2_for_activitynet_2019.pbtxt).
- `KINETICS400`: the 400 classes of Kinetics (Kay et al., "The Kinetics Human Action Video Dataset", 2017), as
  networks for whole clips order them: by name, from 0.
"""

from __future__ import annotations

from edgekit.files import PACKAGE

#: Ids of AVA's classes that are too rare to be evaluated.
AVA_RARE = (2, 16, 18, 19, 21, 23, 25, 31, 32, 33, 35, 39, 40, 42, 44, 50, 53, 55, 71, 75)


def _read(name: str) -> tuple[str, ...]:
    return tuple((PACKAGE / "data" / name).read_text(encoding="utf-8").splitlines())


AVA80 = _read("ava80.txt")
AVA60 = tuple(number for number in range(1, len(AVA80) + 1) if number not in AVA_RARE)
KINETICS400 = _read("kinetics400.txt")
