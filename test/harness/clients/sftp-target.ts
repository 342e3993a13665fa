import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where and as whom an SFTP client logs in. Absent credentials are answered with an empty line. */
export interface SftpTarget {
  readonly host: string;
  readonly port: number;
  /** `ssh-ed25519 AAAA…` */
  readonly hostKey: string;
  readonly user: string;
  readonly password?: string;
  readonly code?: string;
  /** Instead of a code: a file that holds it in time, for one that is sent only when the login asks. */
  readonly codeFile?: string;
  /** OpenSSH private key file. */
  readonly keyFile?: string;
}

/** Answers as a person would; a code that is on its way is waited for, 20 s at most. */
const askpassScript = `#!/bin/sh
printf "%s\\n" "$1" >>"$PROMPTS_FILE"
case "$1" in *assword*) printf "%s\\n" "$LOGIN_PASSWORD"; exit;; esac
[ -n "$CODE_FILE" ] || { printf "%s\\n" "$LOGIN_CODE"; exit; }
tries=0
while [ ! -s "$CODE_FILE" ] && [ $tries -lt 200 ]; do sleep 0.1; tries=$((tries + 1)); done
head -n 1 "$CODE_FILE"
`;

/** Writes what OpenSSH (and lftp, which runs it) needs to log in without a terminal; returns options and environment. */
export async function prepareOpenSsh(
  folder: string,
  target: SftpTarget,
): Promise<{ options: string[]; env: NodeJS.ProcessEnv; promptsFile: string }> {
  const askpass = join(folder, 'askpass');
  const promptsFile = join(folder, 'prompts');
  await writeFile(promptsFile, '');
  await writeFile(askpass, askpassScript);
  await chmod(askpass, 0o700);
  const knownHosts = join(folder, 'known_hosts');
  await writeFile(knownHosts, `[${target.host}]:${target.port} ${target.hostKey}\n`);
  const options = ['-F', 'none', '-o', 'IdentityAgent=none', '-o', `UserKnownHostsFile=${knownHosts}`];
  options.push('-o', 'StrictHostKeyChecking=yes', '-o', 'BatchMode=no', '-o', 'NumberOfPasswordPrompts=1');
  if (target.keyFile === undefined) options.push('-o', 'PubkeyAuthentication=no');
  else options.push('-o', 'IdentitiesOnly=yes', '-i', target.keyFile);
  const env = {
    SSH_ASKPASS: askpass,
    SSH_ASKPASS_REQUIRE: 'force',
    LOGIN_PASSWORD: target.password ?? '',
    LOGIN_CODE: target.code ?? '',
    CODE_FILE: target.codeFile ?? '',
    PROMPTS_FILE: promptsFile,
  };
  return { options, env, promptsFile };
}
