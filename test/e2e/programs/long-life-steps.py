"""One connection, kept for long. Arguments: host port host-key user key-file rounds seconds-between. Prints `ok …` or `not ok …` a step.

A round sends every keep-alive that clients are known to send, and a few that none does, and renews the keys.
"""
import base64, sys, time
import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

host, port, host_key, user, key_file, rounds, pause = sys.argv[1:]
transport = paramiko.Transport((host, int(port)))
transport.connect(hostkey=paramiko.Ed25519Key(data=base64.b64decode(host_key.split()[1])))
transport.auth_publickey(user, paramiko.Ed25519Key.from_private_key_file(key_file))
client = paramiko.SFTPClient.from_transport(transport)
requests = ["keepalive@openssh.com", "keepalive@libssh2", "keepalive@libssh2.org", "keepalive@putty.projects.tartarus.org", "keepalive@jcraft.com", "keep-alive@bitvise.com", "ping", "ietf-keepalive", "foo@bar"]


def winadj():
    """PuTTY's way to measure a channel's latency: any answer will do. paramiko closes a channel that is told no."""
    channel = transport.open_session()
    channel.set_environment_variable("LANG", "C.UTF-8")
    channel.invoke_subsystem("sftp")
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("winadj@putty.projects.tartarus.org")
    message.add_boolean(True)
    channel._event_pending()
    transport._send_user_message(message)
    channel.event.wait(30)
    assert channel.closed, "no answer"


failed = ""
done = 0
try:
    for done in range(1, int(rounds) + 1):
        for name in requests:
            # Whatever the answer is, one comes; without it paramiko would hold the next.
            transport.global_request(name, wait=True)
            assert transport.is_active(), "the connection is gone after %s" % name
        winadj()
        transport.send_ignore(8)
        # paramiko must have sent its CLOSE of that channel: new keys in between stop it for ever.
        client.stat(".")
        transport.renegotiate_keys()
        client.stat(".")
        time.sleep(float(pause))
    with client.open("after-long", "w") as file:
        file.write("still here")
    assert client.open("after-long").read() == b"still here"
except Exception as error:
    failed = repr(error)
print("ok all rounds" if failed == "" else "not ok round %d: %s" % (done, failed))
transport.close()
print("end")
