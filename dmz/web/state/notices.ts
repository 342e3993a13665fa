import { signal } from '@preact/signals';
import { noticeMs, startingDelayMs } from '#dmz/web/limits.ts';
import type { Place } from '#dmz/web/state/place.ts';

/** Short messages at the edge of the page, and sentences for screen readers only. */

export interface Notice {
  readonly kind: 'info' | 'reminder' | 'failure' | 'work';
  readonly text: string;
  /** Of work under way. */
  readonly onCancel?: () => void;
  /** What can be done about it. */
  readonly action?: { readonly label: string; readonly run: () => void };
  /** Where to go on. */
  readonly link?: { readonly label: string; readonly to: Place };
  readonly reference?: string;
}

export class Notices {
  /** One at a time: the newest is the one that matters. */
  readonly current = signal<Notice | undefined>(undefined);
  /** Read out, not shown. */
  readonly spoken = signal('');
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `action`: offered for so many milliseconds. */
  info(text: string, action?: NonNullable<Notice['action']> & { readonly ms: number }): void {
    this.#show({ kind: 'info', text, ...(action !== undefined && { action }) });
    this.#timer = setTimeout(() => this.dismiss(), action?.ms ?? noticeMs);
  }

  /** As `info`, but stays: what an administrator wants this person to know. */
  remind(text: string, link?: Notice['link']): void {
    this.#show({ kind: 'reminder', text, ...(link !== undefined && { link }) });
  }

  /** Stays until it is dismissed or replaced: somebody may want to write the reference down. */
  failure(text: string, reference?: string): void {
    this.#show({ kind: 'failure', text, ...(reference !== undefined && { reference }) });
  }

  /** Something takes longer. Shown after a moment, and until what it returns is called. */
  work(text: string, onCancel: () => void): () => void {
    const notice: Notice = { kind: 'work', text, onCancel };
    const timer = setTimeout(() => this.#show(notice), startingDelayMs);
    return () => {
      clearTimeout(timer);
      if (this.current.value === notice) this.dismiss();
    };
  }

  say(text: string): void {
    this.spoken.value = text;
  }

  dismiss(): void {
    clearTimeout(this.#timer);
    this.current.value = undefined;
    this.spoken.value = '';
  }

  #show(notice: Notice): void {
    clearTimeout(this.#timer);
    this.current.value = notice;
  }
}
