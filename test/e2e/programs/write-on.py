"""
Writes through one open file, each write waiting for its answer, until a file named `stop` is there: lines appended to
`log`, or numbers put over each other at the beginning of `numbers`. Prints how many, or what it was told.
Arguments: host port host-key user key-file local-folder who way
"""
import base64, os, sys
import paramiko

host, port, host_key, user, key_file, local, who, way = sys.argv[1:]
transport = paramiko.Transport((host, int(port)))
transport.connect(hostkey=paramiko.Ed25519Key(data=base64.b64decode(host_key.split()[1])))
transport.auth_publickey(user, paramiko.Ed25519Key.from_private_key_file(key_file))
client = paramiko.SFTPClient.from_transport(transport)
file = client.open("log", "a", 0) if way == "append" else client.open("numbers", "r+", 0)
count = 0
while not os.path.exists(os.path.join(local, "stop")):
    if way == "append":
        file.write("%s %d\n" % (who, count))
    else:
        file.seek(0)
        file.write("%08d" % count)
    count += 1
    if count == 20:
        open(os.path.join(local, "began-" + who), "w").close()
file.close()
transport.close()
print(count)
