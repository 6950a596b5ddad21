"""Data sets by name: the contents, the sources and the spelling of the rows of each.

Built once with `python -m tasks.build NAME`, as array-record files through tensorflow-datasets
(without TensorFlow), and read at random.
"""

from tasks.datasets.data_set import DataSet
from tasks.datasets.gsm8k import GSM8K, GSM8K_GROUPS
from tasks.datasets.hh_rlhf import HH_RLHF
from tasks.datasets.ultrafeedback import ULTRAFEEDBACK

DATA_SETS: dict[str, DataSet] = {
  data_set.name: data_set for data_set in (GSM8K, GSM8K_GROUPS, HH_RLHF, ULTRAFEEDBACK)
}
