/* oxlint-disable typescript/no-unsafe-type-assertion, no-underscore-dangle -- ssh2 answers rounds without a prompt by itself, so their instruction is read inside it */
import { readFileSync } from 'node:fs';
import ssh2 from 'ssh2';
import type { SftpTarget } from './sftp-target.ts';

/**
 * Graphical clients that can't be driven here, as rules about which prompts they answer by themselves. The SSH below
 * is a real client's, so that prompts, echo flags, instructions and their order are the real ones.
 */
export interface EmulatedClient {
  /** What stands after `SSH-2.0-`; leases are bound to it. */
  readonly agent: string;
  /** Does it answer this prompt with the saved password, unasked? `isFirst`: the connection's first such prompt. */
  readonly sends: (prompt: {
    readonly text: string;
    readonly isHidden: boolean;
    readonly isAlone: boolean;
    readonly isFirstOfRound: boolean;
    readonly isFirstHidden: boolean;
  }) => boolean;
}

export const emulatedClients = {
  WinSCP: {
    agent: 'WinSCP_release_6.3.5',
    sends: ({ isHidden, isAlone, isFirstHidden }) => isHidden && isAlone && isFirstHidden,
  },
  'FileZilla Normal': {
    agent: 'FileZilla_3.67.1',
    sends: ({ isFirstOfRound }) => isFirstOfRound,
  },
  'FileZilla Interactive': {
    agent: 'FileZilla_3.67.1',
    sends: () => false,
  },
  Cyberduck: {
    agent: 'Cyberduck/9.0.1.41941',
    sends: ({ text }) => text.toLowerCase().includes('password'),
  },
} as const satisfies Record<string, EmulatedClient>;

export interface PromptSeen {
  readonly text: string;
  readonly by: 'saved' | 'person';
}

export interface EmulatedLogin {
  readonly isIn: boolean;
  readonly prompts: readonly PromptSeen[];
  readonly text: string;
  /** The connection stays open until then. */
  close(): void;
}

interface Ssh2Protocol {
  readonly _handlers: {
    USERAUTH_INFO_REQUEST: (protocol: unknown, name: string, instructions: string, fields: unknown) => void;
  };
}

/** `code` is the person who reads it somewhere, maybe in the instruction. A saved password is `target.password`; it is also what a person types. */
export function logInEmulated(
  client: EmulatedClient,
  target: SftpTarget,
  code: (instruction: string) => Promise<string>,
): Promise<EmulatedLogin> {
  const connection = new ssh2.Client();
  const prompts: PromptSeen[] = [];
  const texts: string[] = [];
  let hasHidden = false;
  const methods = target.keyFile === undefined ? [] : ['publickey' as const];

  const answer = async (text: string, by: PromptSeen['by']): Promise<string> => {
    prompts.push({ text, by });
    return by === 'saved' || text.includes('assword') ? (target.password ?? '') : code(texts.at(-1) ?? '');
  };
  connection.on('keyboard-interactive', (_name, _instructions, _language, fields, finish) => {
    const answers = fields.map(({ prompt, echo }, index) => {
      const isHidden = echo !== true;
      const isSent =
        target.keyFile === undefined &&
        client.sends({
          text: prompt,
          isHidden,
          isAlone: fields.length === 1,
          isFirstOfRound: index === 0,
          isFirstHidden: isHidden && !hasHidden,
        });
      hasHidden ||= isHidden;
      return answer(prompt, isSent ? 'saved' : 'person');
    });
    void Promise.all(answers).then(finish);
  });

  return new Promise((resolve) => {
    const end = (isIn: boolean): void =>
      resolve({ isIn, prompts, text: texts.join('\n'), close: () => connection.end() });
    connection.on('ready', () => {
      connection.sftp((error, sftp) => {
        if (error !== undefined) return end(false);
        return sftp.readdir('/', (failure) => end(failure === undefined || failure === null));
      });
    });
    connection.on('error', () => end(false));
    connection.on('close', () => end(false));
    connection.connect({
      host: target.host,
      port: target.port,
      username: target.user,
      ident: client.agent,
      readyTimeout: 120_000,
      tryKeyboard: true,
      authHandler: [...methods, 'keyboard-interactive'],
      hostVerifier: (key: Buffer) => key.toString('base64') === target.hostKey.split(' ')[1],
      ...(target.keyFile !== undefined && { privateKey: readFileSync(target.keyFile) }),
    });
    const { _handlers: handlers } = (connection as unknown as { _protocol: Ssh2Protocol })._protocol;
    const handle = handlers.USERAUTH_INFO_REQUEST;
    handlers.USERAUTH_INFO_REQUEST = (protocol, name, instructions, fields) => {
      texts.push(instructions);
      handle(protocol, name, instructions, fields);
    };
  });
}
