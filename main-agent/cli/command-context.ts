import type { Terminal } from '#shared/command-line/terminal.ts';
import { buildAdminClient, type CallOptions } from './admin-client.ts';
import { showInvisible } from '#shared/visible-text.ts';
import { findConfigFile, findSocket } from './socket-path.ts';

/** What every command gets: the terminal, the folder, and main behind its socket. */

export interface GlobalOptions {
  readonly socket?: string;
  readonly config?: string;
  readonly json?: boolean;
}

export interface CommandContext {
  readonly terminal: Terminal;
  readonly folder: string;
  readonly nowMs: number;
  /** `--config` or where one is found. */
  configFile(): string | undefined;
  /** One call to main; its JSON, shaped by the caller. */
  call(method: string, path: string, options?: CallOptions): Promise<unknown>;
  /** As JSON where asked for, else as people read it. */
  print(json: unknown, human: () => string): void;
}

export function buildCommandContext(options: {
  readonly terminal: Terminal;
  readonly folder: string;
  readonly nowMs: number;
  readonly actor: string;
  readonly global: () => GlobalOptions;
}): CommandContext {
  const { terminal, folder, nowMs, actor, global } = options;
  const configFile = (): string | undefined => findConfigFile(global().config, folder);
  return {
    terminal,
    folder,
    nowMs,
    configFile,
    call: async (method, path, callOptions) => {
      const client = buildAdminClient(findSocket(global().socket, configFile(), folder), actor);
      try {
        return await client.call(method, path, callOptions);
      } finally {
        await client.close();
      }
    },
    print: (json, human) =>
      terminal.out(
        global().json === true ? `${showInvisible(JSON.stringify(json ?? { ok: true }))}\n` : human(),
      ),
  };
}
