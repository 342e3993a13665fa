import net from 'node:net';
import ssh2 from 'ssh2';
import type { LoginOutcome, WaitingLogin } from '#test/harness/waiting-login.ts';
import type { SftpTarget } from './sftp-target.ts';

/**
 * A login over SFTP in this process, stopped where the code is asked: for many logins at the same moment, each from an
 * address of its own, where a program each would measure process starts.
 */

/** Waiting at the prompt is the purpose; the server has its own patience. */
const readyTimeoutMs = 120_000;

type Prompted = { readonly instruction: string; readonly answer: (code: string) => void };
type Step = LoginOutcome | Prompted;

/** Resolves at the prompt for the code, or with how the login ended before it. */
export async function beginSftpLogin(
  target: SftpTarget,
  from: {
    readonly localAddress: string;
    /** What the client calls itself, after `SSH-2.0-`. */
    readonly agent?: string;
  },
): Promise<WaitingLogin> {
  const client = new ssh2.Client();
  const steps: Step[] = [];
  let wake: (() => void) | undefined;
  const take = (step: Step): void => {
    steps.push(step);
    wake?.();
  };
  const next = async (): Promise<Step> => {
    if (steps.length === 0)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    return steps.shift() ?? 'refused';
  };

  client.on('keyboard-interactive', (_name, instruction, _language, prompts, finish) => {
    const [first] = prompts;
    if (first === undefined) finish([]);
    else if (/assword/.test(first.prompt)) finish([target.password ?? '']);
    else take({ instruction, answer: (code) => finish([code]) });
  });
  client.once('ready', () => take('admitted'));
  client.on('error', () => take('refused'));
  client.once('close', () => take('refused'));
  const sock = net.connect({ host: target.host, port: target.port, localAddress: from.localAddress });
  sock.once('error', () => take('refused'));
  client.connect({
    sock,
    username: target.user,
    tryKeyboard: true,
    readyTimeout: readyTimeoutMs,
    ...(from.agent !== undefined && { ident: from.agent }),
    hostVerifier: (key: Buffer) => key.toString('base64') === target.hostKey.split(' ')[1],
  });

  let step = await next();
  return {
    get state() {
      return typeof step === 'string' ? step : 'asked';
    },
    async answer(code) {
      if (typeof step === 'string') return step;
      step.answer(code);
      step = await next();
      return typeof step === 'string' ? step : 'again';
    },
    async close() {
      client.end();
    },
  };
}
