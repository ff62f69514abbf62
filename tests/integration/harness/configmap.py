"""A volume as the kubelet writes it for ConfigMaps, Secrets and projected volumes; used by test_configmap.py and
test_manifests.py.

    shop.yaml -> ..data/shop.yaml
    ..data -> ..2026_11_24_16_00_00.000000001
    ..2026_11_24_16_00_00.000000001/shop.yaml

A new version is written into a folder of its own, and `..data` is replaced by rename; the links to what is new are made
after that, then the links to what is gone are removed, then the old folder.
"""
import os
import shutil


class Volume:
    def __init__(self, folder, files=None):
        self.folder = str(folder)
        self.version = 0
        os.makedirs(self.folder, exist_ok=True)
        if files is not None:
            self.publish(files)

    def publish(self, files):
        """`files`: {path: text}, all of them."""
        self.swap(files)
        self.link(files)
        self.tidy(files)

    def swap(self, files):
        """The first step alone: what was there is replaced or dangles, what is new has no link yet."""
        self.version += 1
        name = f"..2026_11_24_16_00_00.{self.version:09d}"
        for path, text in files.items():
            file = os.path.join(self.folder, name, path)
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "w", encoding="utf-8") as out:
                out.write(text)
        os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        os.symlink(name, self._path("..data_tmp"))
        os.rename(self._path("..data_tmp"), self._path("..data"))

    def link(self, files):
        for top in {path.split("/")[0] for path in files}:
            if not os.path.lexists(self._path(top)):
                os.symlink(f"..data/{top}", self._path(top))

    def tidy(self, files):
        tops, current = {path.split("/")[0] for path in files}, os.readlink(self._path("..data"))
        for entry in os.listdir(self.folder):
            if os.path.islink(self._path(entry)) and entry != "..data" and entry not in tops:
                os.unlink(self._path(entry))
            elif entry.startswith("..") and entry not in ("..data", current):
                shutil.rmtree(self._path(entry))

    def _path(self, name):
        return os.path.join(self.folder, name)
