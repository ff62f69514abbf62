"""Puts hostile files where the gateway reads them, and takes them away again."""
import os
import shutil
import socket
import stat


def place(case):
    """Writes the case's file and what belongs to it; what is there already is replaced, as a deployment would."""
    tenants = os.fsencode(case.world.tenants)
    path = os.path.join(tenants, case.file_name)
    folder = case.folder()
    if case.things:
        os.makedirs(folder, exist_ok=True)
    for kind, name, argument in case.things:
        target = os.path.join(folder, name)
        if kind == "bytes":
            with open(target, "wb") as file:
                file.write(argument)
        elif kind in ("symlink", "linked folder"):
            if not os.path.lexists(target):
                os.symlink(argument if kind == "symlink" else os.path.join("..", argument.removeprefix("../")), target)
        elif kind == "fifo":
            os.mkfifo(target)
        elif kind == "folder":
            os.mkdir(target)
        elif kind == "sparse":
            with open(target, "wb") as file:
                file.truncate(argument)
    if case.kind in ("file", "yml", "name"):
        temporary = os.path.join(tenants, b"." + case.stem.encode() + b".new")
        with open(temporary, "wb") as file:
            file.write(case.text)
        os.replace(temporary, path)
    elif case.kind == "fifo":
        os.mkfifo(path)
    elif case.kind == "folder":
        os.mkdir(path)
    elif case.kind == "symlink":
        os.symlink(os.fsencode(case.argument), path)
    elif case.kind == "sparse":
        with open(path, "wb") as file:
            file.truncate(case.argument)
    elif case.kind == "socket":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)


def remove(case):
    path = os.path.join(os.fsencode(case.world.tenants), case.file_name)
    if os.path.lexists(path):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            os.rmdir(path)
        else:
            os.unlink(path)
    if case.things:
        shutil.rmtree(case.folder(), ignore_errors=True)
