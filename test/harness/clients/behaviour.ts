import { runProgram } from './process.ts';
import type { SftpTarget } from './sftp-target.ts';
import { emulatedClients, logInEmulated } from './emulated-client.ts';
import { runLftp } from './lftp.ts';
import { runOpenSshSftp } from './openssh-sftp.ts';
import { logInWithParamiko } from './paramiko.ts';
import { mountSshfs, NotMounted } from './sshfs.ts';
import { runCurlSftp } from './curl-sftp.ts';
import { runPsftp } from './psftp.ts';
import { runRclone } from './rclone.ts';

/** What one login with one client was, as its user saw it. */
export interface Behaviour {
  readonly isIn: boolean;
  /** Each prompt of the login in order, and whether the person or the program answered it. */
  readonly prompts: readonly { readonly asks: 'password' | 'code'; readonly by: 'person' | 'saved' }[];
  /** The program showed the address of the web client. */
  readonly showsAddress: boolean;
}

export interface DrivenClient {
  readonly name: string;
  readonly version: string;
  /** It finds no algorithm in common with `strict`. */
  readonly profile?: 'compat';
  readonly logIn: (target: SftpTarget, code: () => Promise<string>) => Promise<Behaviour>;
}

/** Real programs, by what they answer on their own: nothing, unless it says so. */
export async function listClients(
  writeCode: (code: () => Promise<string>) => string,
): Promise<DrivenClient[]> {
  const versionOf = async (command: string, args: string[], pattern: RegExp): Promise<string> => {
    const { stdout, stderr } = await runProgram(command, args);
    return pattern.exec(stdout + stderr)?.[1] ?? '';
  };
  const [openSsh, psftp, lftp, paramiko, rclone, sshfs, curl] = await Promise.all([
    versionOf('/usr/bin/ssh', ['-V'], /OpenSSH_([^ ,]+)/),
    versionOf('/usr/bin/psftp', ['-V'], /Release ([^\s]+)/),
    versionOf('/usr/bin/lftp', ['--version'], /Version ([^\s]+)/),
    versionOf('/usr/bin/python3', ['-c', 'import paramiko; print(paramiko.__version__)'], /([^\s]+)/),
    versionOf('/usr/bin/rclone', ['version'], /v([^\s]+)/),
    versionOf('/usr/bin/sshfs', ['-V'], /SSHFS version ([^\s]+)/),
    versionOf('/usr/bin/curl', ['-V'], /^curl ([^\s]+)/),
  ]);
  const real: DrivenClient[] = [
    {
      name: 'OpenSSH sftp',
      version: openSsh,
      logIn: async (target, code) => {
        const result = await runOpenSshSftp({ ...target, codeFile: writeCode(code) }, ['pwd']);
        return describe(result.status === 0, result.prompts, result.stderr);
      },
    },
    {
      name: 'PuTTY psftp',
      version: psftp,
      logIn: async (target, code) => {
        const result = await runPsftp({ ...target, codeFile: writeCode(code) }, ['pwd']);
        return describe(result.status === 0, result.stdout.match(/Password: |code: /g) ?? [], result.stdout);
      },
    },
    {
      name: 'lftp',
      version: lftp,
      logIn: async (target, code) => {
        const result = await runLftp({ ...target, codeFile: writeCode(code) }, ['ls']);
        return describe(result.status === 0, result.prompts, result.stderr);
      },
    },
    {
      name: 'paramiko',
      version: paramiko,
      logIn: async (target, code) => {
        const result = await logInWithParamiko({ ...target, codeFile: writeCode(code) });
        return describe(result.isIn, result.prompts, result.text);
      },
    },
    {
      name: 'rclone',
      version: rclone,
      logIn: async (target) => {
        const result = await runRclone(target, ['lsf', 'remote:']);
        return describe(result.status === 0, [], result.stderr);
      },
    },
    {
      name: 'sshfs',
      version: sshfs,
      logIn: async (target, code) => {
        const result = await mountSshfs({ ...target, codeFile: writeCode(code) }, 'prompt').catch(
          (error: unknown) => {
            if (error instanceof NotMounted) return error;
            throw error;
          },
        );
        if (result instanceof NotMounted) return describe(false, result.prompts, result.message);
        await result.unmount();
        return describe(true, result.prompts, '');
      },
    },
    {
      name: 'curl',
      version: curl,
      profile: 'compat',
      logIn: async (target) => {
        const result = await runCurlSftp(target, '/');
        return describe(result.status === 0, [], result.stderr);
      },
    },
  ];
  const emulated = Object.entries(emulatedClients).map(([name, client]): DrivenClient => ({
    name,
    version: `emulated as ${client.agent}`,
    logIn: async (target, code) => {
      const login = await logInEmulated(client, target, code);
      login.close();
      return {
        ...describe(login.isIn, [], login.text),
        prompts: login.prompts.map(({ text, by }) => ({ asks: whatIsAsked(text), by })),
      };
    },
  }));
  return [...real, ...emulated];
}

/** One cell of the table in CLIENTS.md. */
export function summarise({ isIn, prompts, showsAddress }: Behaviour): string {
  const steps: { text: string; times: number }[] = [];
  for (const { asks, by } of prompts) {
    const text = by === 'person' ? asks : asks === 'code' ? 'saved password as code' : 'saved password';
    const last = steps.at(-1);
    if (last?.text === text) last.times += 1;
    else steps.push({ text, times: 1 });
  }
  const seen = steps.map(({ text, times }) => (times === 1 ? text : `${text} ×${times}`));
  return [
    `${isIn ? 'works' : '**refused**'}: ${seen.length === 0 ? 'nothing asked' : seen.join(', ')}`,
    ...(showsAddress ? ['web address shown'] : []),
  ].join('; ');
}

function describe(isIn: boolean, prompts: readonly string[], text: string): Behaviour {
  return {
    isIn,
    prompts: prompts.map((prompt) => ({ asks: whatIsAsked(prompt), by: 'person' })),
    showsAddress: text.includes('Sign in at https://'),
  };
}

function whatIsAsked(prompt: string): 'password' | 'code' {
  return prompt.toLowerCase().includes('password') ? 'password' : 'code';
}
