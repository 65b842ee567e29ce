"""plant DIR: makes files of every kind that a backup must keep. digest DIR: prints one line for each, sorted."""

import hashlib
import os
import random
import stat
import sys


def plant(root):
    def path(name):
        return os.path.join(root, name)

    def write(name, content):
        with open(path(name), "wb") as file:
            file.write(content)

    noise = random.Random(7)
    os.makedirs(path(b"tree/deep/er"))
    write(b"tree/empty", b"")
    write(b"tree/random", noise.randbytes(6 << 20))
    write(b"tree/deep/er/text", b"line\n" * 5000)
    write(b"tree/blanks and \xff\xfe\n bytes", b"named badly")
    write(b"tree/owned", b"by somebody else")
    os.chown(path(b"tree/owned"), 1234, 4321)
    os.chmod(path(b"tree/owned"), 0o640)
    write(b"tree/setuid", b"#!")
    os.chmod(path(b"tree/setuid"), 0o4755)
    os.link(path(b"tree/owned"), path(b"tree/deep/linked"))
    os.symlink(b"/nowhere/at/all", path(b"tree/dangling"))
    os.mkfifo(path(b"tree/fifo"))
    os.mknod(path(b"tree/null"), stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with open(path(b"tree/sparse"), "wb") as file:
        file.write(b"begin")
        file.seek(40 << 20)
        file.write(b"end")
    os.setxattr(path(b"tree/random"), "user.origin", b"planted")
    for number in range(300):
        write(b"tree/deep/%03d" % number, noise.randbytes(number * 7))
    os.chown(path(b"tree/deep"), 1234, 4321)
    os.chmod(path(b"tree/deep"), 0o2770)
    os.utime(path(b"tree/deep/er/text"), ns=(1_000_000_000_123_456_789, 1_000_000_000_123_456_789))
    os.chown(root, 999, 998)
    os.chmod(root, 0o700)
    os.sync()


def digest(root):
    links = {}
    lines = []
    paths = [root, os.path.join(root, b"tree")]
    for folder, folders, files in os.walk(os.path.join(root, b"tree")):
        paths += [os.path.join(folder, name) for name in folders + files]
    for path in sorted(paths):
        name = os.path.relpath(path, root)
        info = os.lstat(path)
        fields = [name, stat.filemode(info.st_mode), info.st_uid, info.st_gid]
        if path != root:
            fields.append(info.st_mtime_ns)
        if stat.S_ISREG(info.st_mode):
            with open(path, "rb") as file:
                fields += [info.st_size, hashlib.sha256(file.read()).hexdigest()]
            fields.append(links.setdefault(info.st_ino, name))
        elif stat.S_ISLNK(info.st_mode):
            fields.append(os.readlink(path))
        elif stat.S_ISCHR(info.st_mode):
            fields.append(info.st_rdev)
        if not stat.S_ISLNK(info.st_mode):
            fields += [(key, os.getxattr(path, key)) for key in sorted(os.listxattr(path)) if key.startswith("user.")]
        lines.append(repr(fields))
    print("\n".join(lines))


{"plant": plant, "digest": digest}[sys.argv[1]](os.fsencode(sys.argv[2]))
