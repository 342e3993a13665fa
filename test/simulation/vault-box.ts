/** The vault's process beside main: asked over a channel that is lost with it, killed on its own, begun again by main. */
import { randomBytes } from 'node:crypto';
import type { AskVault, VaultAccess } from '#main-agent/vault/calls.ts';
import { askLocally } from '#main-agent/vault/channel.ts';
import { restartMsMax } from '#main-agent/vault/limits.ts';
import { buildKeeper } from '#main-agent/vault/process/keeper.ts';
import { Sealer } from '#main-agent/vault/process/sealing.ts';
import { SallyportError } from '#shared/error.ts';
import type { Secret } from '#shared/secret.ts';
import { noUsers, playedBook } from '#test/harness/played-vault.ts';
import { Line, Process } from './machine.ts';

interface Life {
  readonly process: Process;
  readonly ask: AskVault;
}

function away(): SallyportError {
  return new SallyportError('busy', 'Nobody can be signed in at the moment', { detail: 'the vault is away' });
}

export class VaultBox implements VaultAccess {
  readonly deliveredKey: Secret<Buffer>;
  readonly #main: Process;
  readonly #key: Secret<Buffer>;
  readonly #listeners: (() => Promise<void>)[] = [];
  #life: Life | undefined;

  constructor(main: Process, key: Secret<Buffer>) {
    this.#main = main;
    this.#key = key;
    this.deliveredKey = new Sealer(key, randomBytes).deliveredKey;
    main.onDeath(() => this.#life?.process.die());
  }

  /** Its first life, or the next one. */
  async begin(): Promise<void> {
    const process = new Process(this.#main.machine, 'vault', this.#main.wall);
    const keeper = process.run(() =>
      buildKeeper({
        readKey: async () => this.#key,
        random: (size) => randomBytes(size),
        book: playedBook,
        users: noUsers,
      }),
    );
    const life: Life = { process, ask: this.#askThrough(process, askLocally(keeper)) };
    await life.ask('open', {});
    this.#life = life;
    await Promise.all(this.#listeners.map((listener) => listener()));
  }

  onOpened(listener: () => Promise<void>): void {
    this.#listeners.push(listener);
  }

  readonly ask: AskVault = async (verb, request) => {
    if (this.#life === undefined) throw away();
    return this.#life.ask(verb, request);
  };

  /** False: it is away already. */
  kill(): boolean {
    const life = this.#life;
    if (life === undefined) return false;
    this.#life = undefined;
    life.process.die();
    this.#main.run(() => setTimeout(() => void this.begin().catch(() => undefined), restartMsMax));
    return true;
  }

  #askThrough(process: Process, askKeeper: AskVault): AskVault {
    const { machine } = process;
    const answers = new Line();
    return (verb, request) =>
      new Promise((resolve, reject) => {
        const forget = process.onDeath(() => reject(away()));
        const tell = (act: () => void): void => machine.post(this.#main, answers, `vault: ${verb}`, act);
        machine
          .gate(process, verb, () => askKeeper(verb, request))
          .then(
            (answer) => tell(() => resolve(answer)),
            (error: unknown) => tell(() => reject(error)),
          )
          .finally(forget);
      });
  }
}
