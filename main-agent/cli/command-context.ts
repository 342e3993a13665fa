import { statusAnswer } from '#main-agent/admin/answers.ts';
import { readPublicFile, readSecretFile } from '#shared/config/file-path.ts';
import { httpUrl } from '#shared/config/value-types.ts';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { resolve } from 'node:path';
import type { Terminal } from '#shared/command-line/terminal.ts';
import { readAnswer } from './answers.ts';
import type { AdminAddress, CallOptions } from './admin-client.ts';
import { showInvisible } from '#shared/visible-text.ts';
import { findConfigFile, findSocket } from './socket-path.ts';

/** What every command gets: the terminal, the folder, and main behind its socket. */

export interface GlobalOptions {
  readonly socket?: string;
  readonly url?: string;
  readonly tokenFile?: string;
  readonly caFile?: string;
  readonly config?: string;
  readonly json?: boolean;
}

export interface CommandContext {
  readonly terminal: Terminal;
  readonly folder: string;
  readonly nowMs: number;
  /** The name the caller goes by in the audit. */
  readonly actor: string;
  /** `--config`, or where one is found, or the one a main behind the socket was started with. */
  configFile(): Promise<string | undefined>;
  /** One call to main; its JSON, shaped by the caller. */
  call(method: string, path: string, options?: CallOptions): Promise<unknown>;
  /** As JSON where asked for, else as people read it. */
  print(json: unknown, human: () => string): void;
}

/** Path segment of a name. */
export function segment(name: string): string {
  return encodeURIComponent(name);
}

export function buildCommandContext(options: {
  readonly terminal: Terminal;
  readonly folder: string;
  readonly nowMs: number;
  readonly actor: string;
  readonly global: () => GlobalOptions;
}): CommandContext {
  const { terminal, folder, nowMs, actor, global } = options;
  const localConfigFile = (): string | undefined => findConfigFile(global().config, folder);
  const findAddress = async (): Promise<AdminAddress> => {
    const { url, socket, tokenFile, caFile } = global();
    const token = tokenFile === undefined ? undefined : await readToken(resolve(folder, tokenFile));
    if (url === undefined)
      return { target: { socket: findSocket(socket, localConfigFile(), folder) }, token, actor };
    if (token === undefined)
      throw new SallyportError('usage', '--url needs --token-file', {
        hint: 'sallyport tokens add, on main',
      });
    if (!httpUrl('https').safeParse(url).success)
      throw new SallyportError('usage', '--url does not fit', { detail: 'https://host:port' });
    const ca = caFile === undefined ? undefined : await readPublicFile(resolve(folder, caFile));
    return { target: { url, ca: ca?.toString('utf8') }, token, actor };
  };
  const call: CommandContext['call'] = async (method, path, callOptions) => {
    // Its HTTP client costs a quarter of what a command does, and not every command calls.
    const { buildAdminClient } = await import('./admin-client.ts');
    const client = buildAdminClient(await findAddress());
    try {
      return await client.call(method, path, callOptions);
    } finally {
      await client.close();
    }
  };
  /** A main behind a socket is on this machine, and so are its files. */
  const askForConfigFile = async (): Promise<string | undefined> => {
    if (global().url !== undefined) return undefined;
    try {
      return readAnswer(statusAnswer, await call('GET', '/v1/status')).config_file;
    } catch {
      return undefined;
    }
  };
  return {
    terminal,
    folder,
    nowMs,
    actor,
    configFile: async () => {
      const { config, socket } = global();
      // A socket that is named says which main is meant; what lies in this folder may be another's.
      const asked = config === undefined && socket !== undefined ? await askForConfigFile() : undefined;
      return asked ?? localConfigFile() ?? (await askForConfigFile());
    },
    call,
    print: (json, human) =>
      terminal.out(
        global().json === true ? `${showInvisible(JSON.stringify(json ?? { ok: true }))}\n` : human(),
      ),
  };
}

/** From a file that only its owner reads: an argument would stand in everybody's process list. */
async function readToken(file: string): Promise<Secret> {
  return new Secret((await readSecretFile(file)).expose().toString('utf8').trim());
}
