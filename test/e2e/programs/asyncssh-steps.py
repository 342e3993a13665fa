"""asyncssh's SFTP client, widely. Arguments: host port host-key user key-file local-folder. Prints `ok …` or `not ok …` a step."""
import asyncio, os, stat, sys
import asyncssh

host, port, host_key, user, key_file, local = sys.argv[1:]
content = os.urandom(2_000_003)


def equal(came, right):
    if came != right:
        raise AssertionError("%.80r instead of %.80r" % (came, right))


async def fails(kind, action):
    try:
        await action
    except kind:
        return
    raise AssertionError("nothing was raised")


def make_tree(root):
    for place in ("", "a", "a/b", "with blanks"):
        os.makedirs(os.path.join(root, place), exist_ok=True)
        for n in range(8):
            path = os.path.join(root, place, "f%d" % n)
            with open(path, "wb") as file:
                file.write(content[: n * 10_007])
            os.utime(path, (1_000_000_000, 1_000_000_000 + n))


def read_tree(root):
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = (open(path, "rb").read(), int(os.stat(path).st_mtime))
    return found


async def transfers(sftp):
    """put, get, with many requests under way and with few"""
    source = os.path.join(local, "one.bin")
    open(source, "wb").write(content)
    await sftp.put(source, "one.bin", block_size=20_000, max_requests=200)
    await sftp.get("one.bin", source + ".got", block_size=7_000, max_requests=3)
    equal(open(source + ".got", "rb").read(), content)


async def trees(sftp):
    """whole trees there and back, with their times"""
    make_tree(os.path.join(local, "tree"))
    await sftp.put(os.path.join(local, "tree"), "tree", recurse=True, preserve=True)
    await sftp.get("tree", os.path.join(local, "back"), recurse=True, preserve=True)
    equal(read_tree(os.path.join(local, "back")), read_tree(os.path.join(local, "tree")))


async def globs(sftp):
    """globs, mput and mget"""
    equal(sorted(await sftp.glob("tree/*/f[12]")), ["tree/a/f1", "tree/a/f2", "tree/with blanks/f1", "tree/with blanks/f2"])
    await sftp.mkdir("many")
    await sftp.mput(os.path.join(local, "tree", "f*"), "many")
    os.makedirs(os.path.join(local, "many"))
    await sftp.mget("many/*", os.path.join(local, "many"))
    equal(len(os.listdir(os.path.join(local, "many"))), 8)


async def copies(sftp):
    """a copy from the server to itself"""
    await sftp.copy("tree", "copied", recurse=True, preserve=True)
    equal((await sftp.stat("copied/a/b/f7")).size, 70_049)


async def questions(sftp):
    """exists, isfile, isdir, getsize, times, scandir, realpath, statvfs"""
    equal((await sftp.exists("tree"), await sftp.isdir("tree"), await sftp.isfile("tree/f1"), await sftp.exists("none"), await sftp.islink("tree/f1")), (True, True, True, False, False))
    equal((await sftp.getsize("tree/f3"), int(await sftp.getmtime("tree/f3"))), (30_021, 1_000_000_003))
    names = [entry.filename async for entry in sftp.scandir("tree")]
    equal(sorted(set(names) - {".", ".."}), ["a"] + ["f%d" % n for n in range(8)] + ["with blanks"])
    equal(await sftp.realpath("tree/a/../f1"), (await sftp.realpath(".")).rstrip("/") + "/tree/f1")
    assert (await sftp.statvfs(".")).bsize > 0
    await fails(asyncssh.SFTPNoSuchFile, sftp.stat("none"))


async def files(sftp):
    """open files: r+, a, x, offsets, seek, truncate, attributes, fsync"""
    async with sftp.open("file", "wb") as file:
        await file.write(content[:100_000])
        equal((await file.stat()).size, 100_000)
        await file.write(b"far", offset=150_000)
        await file.fsync()
    async with sftp.open("file", "rb") as file:
        equal(await file.read(10, offset=99_995), content[99_995:100_000] + bytes(5))
        await file.seek(-3, 2)
        equal(await file.read(), b"far")
    async with sftp.open("file", "rb+") as file:
        await file.write(b"new", offset=5)
        await file.truncate(10)
        await file.chmod(0o600)
        await file.utime((1, 2))
    async with sftp.open("file", "ab") as file:
        await file.write(b"end")
    equal((await (await sftp.open("file", "rb")).read()), content[:5] + b"new" + content[8:10] + b"end")
    await fails(asyncssh.SFTPError, sftp.open("file", "xb"))


async def attributes(sftp):
    """setstat of what stat gave, chmod, utime, truncate by path"""
    came = await sftp.stat("file")
    await sftp.setstat("file", asyncssh.SFTPAttrs(uid=came.uid, gid=came.gid, permissions=0o640, atime=5, mtime=1_000_000_000))
    after = await sftp.stat("file")
    equal((stat.S_IMODE(after.permissions), after.mtime), (0o640, 1_000_000_000))
    await sftp.truncate("file", 2)
    equal(await sftp.getsize("file"), 2)


async def folders(sftp):
    """makedirs, rename, posix_rename over a file, rmtree"""
    await sftp.makedirs("p/q/r/s")
    await sftp.makedirs("p/q/r/s", exist_ok=True)
    await sftp.rename("p/q", "p/moved")
    for name in ("x", "y"):
        async with sftp.open(name, "w") as file:
            await file.write(name)
    await fails(asyncssh.SFTPError, sftp.rename("x", "y"))
    await sftp.posix_rename("x", "y")
    equal(await (await sftp.open("y")).read(), "x")
    await sftp.rmtree("copied")
    equal(await sftp.exists("copied"), False)


async def at_once(sftp):
    """200 questions and 60 small files at once"""
    await asyncio.gather(*(sftp.stat("tree/f%d" % (n % 8)) for n in range(200)))
    async def one(n):
        async with sftp.open("small%d" % n, "wb") as file:
            await file.write(b"%d" % n)
        async with sftp.open("small%d" % n, "rb") as file:
            equal(await file.read(), b"%d" % n)
        await sftp.remove("small%d" % n)
    await asyncio.gather(*(one(n) for n in range(60)))


async def main():
    known = asyncssh.import_known_hosts("[%s]:%s %s\n" % (host, port, host_key))
    async with asyncssh.connect(host, int(port), username=user, client_keys=[key_file], known_hosts=known, config=None, agent_path=None) as connection:
        async with connection.start_sftp_client() as sftp:
            for step in (transfers, trees, globs, copies, questions, files, attributes, folders, at_once):
                try:
                    await asyncio.wait_for(step(sftp), 60)
                    print("ok", step.__doc__)
                except Exception as error:
                    print("not ok %s: %r" % (step.__doc__, error))
    print("end")


asyncio.run(main())
