import { randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { StateCopies as StateEngine } from '#main-agent/state/state-store.ts';
import { SallyportError } from '#shared/error.ts';

/**
 * Copies of state.db for backups. They lie beside it, for main's user alone, because that is where such a thing may lie
 * and who may read it; whoever asked for one opens it and takes its name away.
 */
export class StateCopies {
  readonly #state: StateEngine;
  readonly #stateFile: string;
  #isBusy = false;

  constructor(state: StateEngine, stateFile: string) {
    this.#state = state;
    this.#stateFile = stateFile;
  }

  /** Resolves with its path. Rejects `conflict` while another is made. */
  async make(): Promise<string> {
    if (this.#isBusy)
      throw new SallyportError('conflict', 'A backup is being made already', {
        hint: 'try again when it is done',
      });
    this.#isBusy = true;
    try {
      await this.#removeEarlier();
      const file = `${this.#stateFile}${copyMark}${randomBytes(6).toString('hex')}`;
      await this.#state.copyTo(file);
      return file;
    } finally {
      this.#isBusy = false;
    }
  }

  /** Of commands that were killed before they opened theirs. */
  async #removeEarlier(): Promise<void> {
    const { dir, base } = path.parse(this.#stateFile);
    for (const name of await readdir(dir))
      if (name.startsWith(`${base}${copyMark}`)) await rm(path.join(dir, name), { force: true });
  }
}

const copyMark = '.copy-';
