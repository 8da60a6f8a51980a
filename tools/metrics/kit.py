"""A checkout of VLMEvalKit, imported without what it needs beyond numpy and pandas, its files kept in memory."""

import importlib
import importlib.abc
import importlib.machinery
import os
import sys
import types
from unittest.mock import MagicMock

import numpy  # noqa: F401  before absent modules are invented
import pandas as pd


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Invents every module that is not installed."""

    def find_spec(self, name, path=None, target=None):
        return None if name.startswith("vlmeval") else importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        module = MagicMock(name=spec.name)
        module.__path__ = []
        module.__name__ = spec.name
        return module

    def exec_module(self, module):
        pass


class Pool:
    """One process is enough."""

    def __init__(self, _):
        pass

    def map(self, f, items):
        return [f(item) for item in items]


class Kit:
    def __init__(self, checkout):
        sys.path.insert(0, checkout)
        sys.meta_path.append(Absent())
        for name in ["vlmeval", "vlmeval.dataset", "vlmeval.dataset.utils"]:
            package = types.ModuleType(name)
            package.__path__ = [os.path.join(checkout, *name.split("."))]
            sys.modules[name] = package
        utils = sys.modules["vlmeval.dataset.utils"]
        utils.build_judge, utils.DEBUG_MESSAGE = None, ""
        sys.modules["vlmeval.dataset"].utils = utils
        for name in ["utils.vqa_eval", "utils.yorn", "utils.multiple_choice", "image_vqa", "image_mcq", "image_yorn"]:
            module = importlib.import_module("vlmeval.dataset." + name)
            setattr(self, name.split(".")[-1], module)
            self._keep_files(module)
        self.image_vqa.mp = types.SimpleNamespace(Pool=Pool)
        self.image_vqa.tqdm = lambda items: items
        self.multiple_choice.track_progress_rich = self._track
        self.files = {}

    def _keep_files(self, module):
        module.load = lambda path: self._copy(self.files[path])
        module.dump = lambda data, path: self.files.__setitem__(path, self._copy(data))
        module.get_intermediate_file_path = lambda path, suffix, ending="x": f"/absent/{path}{suffix}.{ending}"

    @staticmethod
    def _copy(data):
        return data.copy() if isinstance(data, (pd.DataFrame, dict)) else data

    def _track(self, f, tasks, nproc, chunksize, save, keys):
        results = [f(**task) for task in tasks]
        self.files[save] = dict(zip(keys, results))
        return results

    def dataset(self, kind, name, rows=None):
        """One of the kit's sets without its files."""
        dataset = object.__new__(kind)
        dataset.dataset_name, dataset.meta_only = name, False
        dataset.dump_image = lambda line: [str(i) for i in range(line["pictures"])]
        dataset.data = None if rows is None else pd.DataFrame(rows)
        return dataset

    def rating(self, kind, name, rows):
        """What the kit prints of predictions: a list with one {name: value} for each line of its table."""
        self.files = {"predictions": pd.DataFrame(rows)}
        table = self.dataset(kind, name, rows).evaluate("predictions", model="exact_matching")
        table = pd.DataFrame([table]) if isinstance(table, dict) else table
        return table.to_dict("records")
