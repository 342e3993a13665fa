"""paramiko's SFTPClient, widely. Arguments: host port host-key user key-file local-folder. Prints `ok …` or `not ok …` a step."""
import base64, errno, io, os, sys, threading
import paramiko

host, port, host_key, user, key_file, local = sys.argv[1:]
kind, blob = host_key.split()
transport = paramiko.Transport((host, int(port)))
transport.connect(hostkey=paramiko.PKey.from_type_string(kind, base64.b64decode(blob)) if hasattr(paramiko.PKey, "from_type_string") else paramiko.Ed25519Key(data=base64.b64decode(blob)))
transport.auth_publickey(user, paramiko.Ed25519Key.from_private_key_file(key_file))
client = paramiko.SFTPClient.from_transport(transport)
home = client.normalize(".")
content = os.urandom(3_000_017)
source = os.path.join(local, "source.bin")
with open(source, "wb") as file:
    file.write(content)


def step(title):
    def run(action):
        try:
            action()
            print("ok", title)
        except Exception as error:
            print("not ok %s: %r at line %d" % (title, error, error.__traceback__.tb_next.tb_lineno))
    return run


def read(name):
    buffer = io.BytesIO()
    client.getfo(name, buffer)
    return buffer.getvalue()


def equal(came, right):
    if came != right:
        raise AssertionError("%.80r instead of %.80r" % (came, right))


def fails(number, action):
    try:
        action()
    except IOError as error:
        equal(error.errno, number)
        return
    raise AssertionError("nothing was raised")


@step("put confirms by stat, get compares")
def _():
    equal(client.put(source, "put.bin").st_size, len(content))
    client.get("put.bin", os.path.join(local, "got.bin"))
    equal(open(os.path.join(local, "got.bin"), "rb").read(), content)


@step("putfo with and without confirmation, with a progress callback")
def _():
    seen = []
    equal(client.putfo(io.BytesIO(content), "putfo.bin", len(content), lambda *p: seen.append(p)).st_size, len(content))
    equal(seen[-1], (len(content), len(content)))
    client.putfo(io.BytesIO(b"short"), "putfo.bin", confirm=False)
    equal(read("putfo.bin"), b"short")


@step("an empty file")
def _():
    equal(client.putfo(io.BytesIO(b""), "empty").st_size, 0)
    equal(read("empty"), b"")


@step("pipelined writes, prefetch and readv")
def _():
    with client.open("pipelined", "wb") as file:
        file.set_pipelined(True)
        for start in range(0, len(content), 30_011):
            file.write(content[start : start + 30_011])
    with client.open("pipelined") as file:
        file.prefetch(len(content))
        equal(file.read(), content)
    with client.open("pipelined") as file:
        chunks = [(5, 10), (2_000_000, 100_000), (100, 70_000), (len(content) - 3, 3)]
        equal(list(file.readv(chunks)), [content[at : at + size] for at, size in chunks])


@step("an open file's stat, chmod, utime and truncate act at once")
def _():
    with client.open("during", "w+b") as file:
        file.write(b"0123456789")
        file.flush()
        equal(file.stat().st_size, 10)
        equal(client.stat("during").st_size, 10)
        file.truncate(4)
        equal(file.stat().st_size, 4)
        file.chmod(0o640)
        file.utime((1_000_000_000, 1_100_000_000))
        file.seek(0)
        equal(file.read(), b"0123")
    after = client.stat("during")
    equal((after.st_size, after.st_mode & 0o777, after.st_mtime), (4, 0o640, 1_100_000_000))


@step("append, also through two files at once")
def _():
    client.putfo(io.BytesIO(b"head\n"), "log")
    with client.open("log", "a") as one, client.open("log", "a") as other:
        one.write("from one\n")
        one.flush()
        other.write("from other\n")
        other.flush()
    equal(sorted(read("log").splitlines()), [b"from one", b"from other", b"head"])


@step("r+ changes the middle and leaves the rest")
def _():
    client.putfo(io.BytesIO(content), "middle")
    with client.open("middle", "r+b") as file:
        file.seek(1000)
        file.write(b"changed")
        file.seek(-5, file.SEEK_END)
        equal(file.read(), content[-5:])
    equal(read("middle"), content[:1000] + b"changed" + content[1007:])


@step("x makes a file only once")
def _():
    client.open("once", "wx").close()
    fails(None, lambda: client.open("once", "wx"))


@step("what stat gave can be given back with one field changed")
def _():
    client.putfo(io.BytesIO(b"x"), "attributes")
    came = client.stat("attributes")
    came.st_mode = 0o600
    came.st_mtime = 1_000_000_000
    client._request(paramiko.sftp.CMD_SETSTAT, "attributes", came)
    after = client.stat("attributes")
    equal((after.st_mode & 0o777, after.st_mtime), (0o600, 1_000_000_000))
    client.chown("attributes", came.st_uid, came.st_gid)


@step("chmod, utime and truncate by path")
def _():
    client.putfo(io.BytesIO(b"0123456789"), "by-path")
    client.chmod("by-path", 0o600)
    client.utime("by-path", (5, 7))
    client.truncate("by-path", 3)
    client.utime("by-path", (5, 7))
    after = client.lstat("by-path")
    equal((after.st_size, after.st_mode & 0o777, after.st_mtime), (3, 0o600, 7))
    client.utime("by-path", None)
    assert client.stat("by-path").st_mtime > 1_700_000_000


@step("folders: mkdir, listings of three kinds, chdir, rmdir")
def _():
    client.mkdir("folder")
    for n in range(150):
        client.open("folder/f%03d" % n, "w").close()
    right = ["f%03d" % n for n in range(150)]
    equal(sorted(client.listdir("folder")), right)
    equal(sorted(entry.filename for entry in client.listdir_attr("folder")), right)
    equal(sorted(entry.filename for entry in client.listdir_iter("folder")), right)
    client.chdir("folder")
    equal(client.getcwd(), home.rstrip("/") + "/folder")
    equal(client.stat("f000").st_size, 0)
    client.chdir(None)
    fails(None, lambda: client.rmdir("folder"))
    for name in right:
        client.remove("folder/" + name)
    client.rmdir("folder")
    fails(errno.ENOENT, lambda: client.stat("folder"))


@step("rename keeps what is there, posix_rename replaces it")
def _():
    for name in ("from", "to"):
        client.putfo(io.BytesIO(name.encode()), name)
    fails(None, lambda: client.rename("from", "to"))
    client.posix_rename("from", "to")
    equal(read("to"), b"from")
    client.rename("to", "free")
    equal(read("free"), b"from")


@step("what is not there is ENOENT")
def _():
    for action in (client.stat, client.lstat, client.open, client.remove, client.rmdir, client.listdir):
        fails(errno.ENOENT, lambda: action("no-such-thing"))
    fails(errno.ENOENT, lambda: client.rename("no-such-thing", "other"))
    fails(errno.ENOENT, lambda: client.mkdir("no-such/folder"))


@step("a file is read while it is written, and past its end")
def _():
    with client.open("tail", "w") as writer:
        writer.write("one\n")
        writer.flush()
        with client.open("tail") as reader:
            equal(reader.readline(), "one\n")
            equal(reader.read(10), b"")
            writer.write("two\n")
            writer.flush()
            equal(reader.read(10), b"two\n")


@step("eight threads, each with a session on one connection")
def _():
    failed = []
    def work(n):
        try:
            session = paramiko.SFTPClient.from_transport(transport)
            for turn in range(5):
                data = content[n * 1000 : n * 1000 + 200_000]
                session.putfo(io.BytesIO(data), "thread%d" % n)
                equal(session.open("thread%d" % n).read(), data)
                session.posix_rename("thread%d" % n, "threads-%d" % n)
            session.close()
        except Exception as error:
            failed.append(error)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    equal(failed, [])


@step("twenty sessions one after another and five side by side")
def _():
    for _ in range(20):
        session = paramiko.SFTPClient.from_transport(transport)
        session.stat(".")
        session.close()
    sessions = [paramiko.SFTPClient.from_transport(transport) for _ in range(5)]
    [session.stat(".") for session in sessions]
    [session.close() for session in sessions]


client.close()
transport.close()
print("end")
