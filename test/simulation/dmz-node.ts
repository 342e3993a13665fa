/** A worker of a DMZ node: its real link, its real login conversation and file client, behind doors that let all in. */
import { LinkClient } from '#dmz/link/link-client.ts';
import { LoginConversation } from '#dmz/login/conversation.ts';
import { buildRemoteFiles } from '#dmz/files/remote-files.ts';
import type { Guard } from '#dmz/guard/guard.ts';
import { parseIdentityKey } from '#shared/identity/identity-key.ts';
import { SallyportError } from '#shared/error.ts';
import { Secret } from '#shared/secret.ts';
import { Process, type Machine } from './machine.ts';
import type { World } from './world.ts';

/** Bans would keep the world's people out, whose mistakes it is made of; they have tests of their own. */
const openDoors: Guard = {
  admitConnection: () => {
    throw new Error('no connections here');
  },
  isBanned: () => undefined,
  firstFactorFailed: () => undefined,
  firstFactorRight: () => undefined,
  signedIn: () => undefined,
  turnedAway: () => undefined,
  mustWait: () => undefined,
  malformed: () => undefined,
};

interface Life {
  readonly process: Process;
  readonly client: LinkClient;
  readonly doors: LoginConversation;
}

export class DmzNode {
  readonly name: string;
  readonly worker: number;
  readonly label: string;
  readonly #world: World;
  readonly #keyPem: string;
  #life: Life;

  constructor(world: World, name: string, worker: number, keyPem: string) {
    this.name = name;
    this.worker = worker;
    this.label = `${name}/${worker}`;
    this.#world = world;
    this.#keyPem = keyPem;
    this.#life = this.#begin(world.machine);
  }

  get process(): Process {
    return this.#life.process;
  }

  get client(): LinkClient {
    return this.#life.client;
  }

  get doors(): LoginConversation {
    return this.#life.doors;
  }

  /** Killed and started anew: it remembers nothing. */
  restart(): void {
    const { wall } = this.process;
    this.process.die();
    this.#life = this.#begin(this.#world.machine, wall);
  }

  #begin(machine: Machine, wall?: Process['wall']): Life {
    const process = new Process(machine, this.label, wall);
    const { clock } = process;
    const { log } = this.#world;
    const signingKeyPem = new Secret(this.#keyPem);
    return process.run(() => {
      const client = new LinkClient({
        nodeName: this.name,
        worker: this.worker,
        workerPorts: () => [8444, 8445],
        validatedLogins: true,
        signingKey: parseIdentityKey(signingKeyPem).privateKey,
        parkForMs: 30_000,
        clock,
        log,
      });
      const doors = new LoginConversation({
        link: client,
        node: this.name,
        signingKeyPem,
        validatedLogins: true,
        buildFiles: (session) => buildRemoteFiles({ link: client, session }),
        guard: openDoors,
        clock,
        log,
      });
      return { process, client, doors };
    });
  }

  /** What somebody at its door asks; rejects `link-down` when that life of the node ends before it has answered. */
  ask<T>(act: () => Promise<T>, process = this.process): Promise<T> {
    const died = (): SallyportError => new SallyportError('link-down', 'The node died');
    if (!process.isAlive) return Promise.reject(died());
    return new Promise<T>((resolve, reject) => {
      const forget = process.onDeath(() => reject(died()));
      process.run(act).then(resolve, reject).finally(forget);
    });
  }
}
