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
  /** OpenSSH private key file. */
  readonly keyFile?: string;
}

/** Writes what OpenSSH (and lftp, which runs it) needs to log in without a terminal; returns options and environment. */
export async function prepareOpenSsh(
  folder: string,
  target: SftpTarget,
): Promise<{ options: string[]; env: NodeJS.ProcessEnv; promptsFile: string }> {
  const askpass = join(folder, 'askpass');
  const promptsFile = join(folder, 'prompts');
  await writeFile(promptsFile, '');
  await writeFile(
    askpass,
    '#!/bin/sh\nprintf "%s\\n" "$1" >>"$PROMPTS_FILE"\ncase "$1" in *assword*) printf "%s\\n" "$LOGIN_PASSWORD";; *) printf "%s\\n" "$LOGIN_CODE";; esac\n',
  );
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
    PROMPTS_FILE: promptsFile,
  };
  return { options, env, promptsFile };
}
