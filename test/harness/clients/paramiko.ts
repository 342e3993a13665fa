import { runProgram } from './process.ts';
import type { SftpTarget } from './sftp-target.ts';

/** What a script with paramiko was asked, in order, and whether it got in. */
export interface ParamikoLogin {
  readonly isIn: boolean;
  readonly prompts: readonly string[];
  /** The instructions that came with the prompts, or the error. */
  readonly text: string;
}

/** Key first if there is one, then keyboard-interactive: what paramiko's own documentation suggests for two factors. */
const script = `
import base64, json, os, sys, time, paramiko
host, port, host_key, user, key_file = sys.argv[1:]
prompts, texts = [], []
def code():
    path = os.environ["CODE_FILE"]
    if not path: return os.environ["LOGIN_CODE"]
    while not os.path.exists(path): time.sleep(0.1)
    return open(path).readline().strip()
def answer(title, instructions, fields):
    texts.append(instructions)
    prompts.extend(text for text, echo in fields)
    return [os.environ["LOGIN_PASSWORD"] if "assword" in text else code() for text, echo in fields]
transport = paramiko.Transport((host, int(port)))
try:
    transport.connect(hostkey=paramiko.Ed25519Key(data=base64.b64decode(host_key.split()[1])))
    if key_file:
        transport.auth_publickey(user, paramiko.Ed25519Key.from_private_key_file(key_file))
    if not transport.is_authenticated():
        transport.auth_interactive(user, answer)
    paramiko.SFTPClient.from_transport(transport).listdir("/")
    is_in = True
except paramiko.SSHException as error:
    texts.append(str(error))
    is_in = False
transport.close()
print(json.dumps({"isIn": is_in, "prompts": prompts, "text": "\\n".join(texts)}))
`;

export async function logInWithParamiko(target: SftpTarget): Promise<ParamikoLogin> {
  const { host, port, hostKey, user } = target;
  const args = ['-c', script, host, String(port), hostKey, user, target.keyFile ?? ''];
  const { stdout, stderr } = await runProgram('/usr/bin/python3', args, {
    env: {
      LOGIN_PASSWORD: target.password ?? '',
      LOGIN_CODE: target.code ?? '',
      CODE_FILE: target.codeFile ?? '',
    },
  });
  if (stdout === '') throw new Error(`paramiko: ${stderr}`);
  return JSON.parse(stdout) as ParamikoLogin;
}
