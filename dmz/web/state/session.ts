import { computed, signal } from '@preact/signals';
import type { Account } from '#dmz/http-api/account.ts';
import type { Challenge } from '#dmz/http-api/sign-in.ts';
import type { Http } from '#dmz/web/api/http.ts';
import { toApiProblem, type ApiProblem } from '#dmz/web/api/problem.ts';
import { getAccount, getCode, postCode, postLogin, postLogout, postResend } from '#dmz/web/api/sign-in.ts';
import { Rights } from '#dmz/web/files/rights.ts';
import { outageRetryMs, outageRetryMsMax, sessionUseTellMs } from '#dmz/web/limits.ts';

/**
 * Who is signed in, seen from the browser. The server decides everything; this only remembers what it said last, so
 * that the right page is shown.
 */

export type SignedOutNotice = 'signed-out' | 'expired' | 'elsewhere' | 'start-again' | 'refused';

type SessionState =
  | { readonly name: 'starting' }
  | { readonly name: 'signed-out'; readonly notice?: SignedOutNotice }
  | {
      readonly name: 'code-required';
      readonly username: string;
      readonly challenge: Challenge;
      readonly expiresAtMs: number;
    }
  | { readonly name: 'setup-required'; readonly account: Account }
  | { readonly name: 'signed-in'; readonly account: Account };

export interface Outage {
  /** `main`: the server said so · `network`: nobody answered. */
  readonly side: ApiProblem['outageSide'];
  readonly retryAtMs: number;
}

export class Session {
  readonly state = signal<SessionState>({ name: 'starting' });
  /** Set while nothing works because the server, or the way to it, is down. The state behind it stays. */
  readonly outage = signal<Outage | undefined>(undefined);
  readonly rights = computed(() => {
    const state = this.state.value;
    return new Rights(state.name === 'signed-in' ? state.account.files : []);
  });
  /** Offered again at the next sign-in of this tab. */
  username = '';
  /** When the server last heard of this session, from any tab. */
  usedAtMs = Date.now();
  #toldAtMs = 0;
  /** Counts what says who is here, so that a late answer about somebody before is dropped. */
  #turn = 0;
  #arrivedAtMs = 0;
  readonly #http: Http;
  readonly #channel: BroadcastChannel | undefined;

  constructor(http: Http, channel?: BroadcastChannel) {
    this.#http = http;
    this.#channel = channel;
    channel?.addEventListener('message', (event: MessageEvent<unknown>) => {
      if (event.data === 'used') this.usedAtMs = Date.now();
      // Also when somebody is signed in here, or half: it may be another person now, under the one cookie.
      if (event.data === 'signed-in') void this.refresh();
      if (event.data === 'signed-out' && this.#isLive()) this.#end('elsewhere');
    });
  }

  /** Asks the server who we are: at the start, after an outage, after something about the account changed. */
  async refresh(): Promise<void> {
    this.#turn += 1;
    const turn = this.#turn;
    try {
      const account = await getAccount(this.#http);
      if (turn !== this.#turn) return;
      this.outage.value = undefined;
      this.username = account.username;
      this.state.value = { name: account.state, account };
    } catch (thrown) {
      if (turn !== this.#turn) return;
      const problem = toApiProblem(thrown);
      if (problem.isOutage) {
        this.#noteOutage(problem);
        return;
      }
      this.outage.value = undefined;
      // With a live session, `observe` has already ended it.
      if (this.state.value.name === 'starting') await this.#resumeSignIn(turn);
    }
  }

  /** Loaded again between the steps of a sign-in: the cookie of the half session is still there. */
  async #resumeSignIn(turn: number): Promise<void> {
    try {
      const { username, challenge } = await getCode(this.#http);
      if (turn === this.#turn) this.#askForCode(username, challenge);
    } catch (thrown) {
      if (turn !== this.#turn) return;
      const problem = toApiProblem(thrown);
      if (problem.isOutage) this.#noteOutage(problem);
      else this.state.value = { name: 'signed-out' };
    }
  }

  #askForCode(username: string, challenge: Challenge): void {
    this.username = username;
    const expiresAtMs = Date.now() + challenge.expires_in * 1000;
    this.state.value = { name: 'code-required', username, challenge, expiresAtMs };
  }

  /** Rejects ApiProblem when the server says no. */
  async signIn(username: string, password: string): Promise<void> {
    const step = await postLogin(this.#http, username, password);
    this.username = username;
    if (step.state === 'code-required') this.#askForCode(username, step.challenge);
    else await this.#arrive();
  }

  async answer(code: string, rememberDevice: boolean): Promise<void> {
    await postCode(this.#http, code, rememberDevice);
    await this.#arrive();
  }

  async #arrive(): Promise<void> {
    this.#arrivedAtMs = performance.now();
    await this.refresh();
    this.#channel?.postMessage('signed-in');
  }

  async resend(): Promise<void> {
    await postResend(this.#http);
  }

  /** Out of attempts or time, or refused as a whole: back to the first step. */
  startAgain(why: 'start-again' | 'refused' = 'start-again'): void {
    this.#end(why);
  }

  /** Leaves the second step by choice. */
  async abandonCode(): Promise<void> {
    this.state.value = { name: 'signed-out' };
    await this.#tellServer();
  }

  async signOut(): Promise<void> {
    await this.#tellServer();
    this.#channel?.postMessage('signed-out');
    this.#end('signed-out');
  }

  /** Every answered call comes by here; the other tabs need not warn then. */
  noteUse(): void {
    this.usedAtMs = Date.now();
    if (this.usedAtMs - this.#toldAtMs < sessionUseTellMs) return;
    this.#toldAtMs = this.usedAtMs;
    this.#channel?.postMessage('used');
  }

  /** Every refused call comes by here: a session that died is noticed wherever it shows. */
  observe(problem: ApiProblem, askedAtMs = performance.now()): void {
    // A late refusal of what somebody before asked says nothing about who is here.
    if (!this.#isLive() || askedAtMs < this.#arrivedAtMs) return;
    if (problem.status === 401 && !problem.isAnotherTry) this.#end('expired');
    else if (problem.status === 403 && problem.details.reason === 'setup-required') void this.refresh();
    else if (problem.details.reason === 'permission-denied') void this.#learnRights();
    // Busy is a no to this one call.
    else if (problem.isOutage && problem.status !== 0 && problem.details.reason !== 'busy')
      this.#noteOutage(problem);
  }

  /** Something was offered and then refused: the administrator changed what this person may do. */
  async #learnRights(): Promise<void> {
    const turn = this.#turn;
    try {
      const account = await getAccount(this.#http);
      if (turn !== this.#turn) return;
      const { value } = this.state;
      const known = value.name === 'signed-in' ? JSON.stringify(value.account.files) : undefined;
      if (known !== JSON.stringify(account.files)) this.state.value = { name: account.state, account };
    } catch {
      // The refusal itself is told elsewhere.
    }
  }

  #isLive(): boolean {
    return this.state.value.name === 'signed-in' || this.state.value.name === 'setup-required';
  }

  #end(notice: SignedOutNotice): void {
    this.#turn += 1;
    this.outage.value = undefined;
    this.state.value = { name: 'signed-out', notice };
  }

  #noteOutage(problem: ApiProblem): void {
    const waitMs = Math.min(problem.details.retryAfterMs ?? outageRetryMs, outageRetryMsMax);
    this.outage.value = {
      side: problem.outageSide,
      retryAtMs: Date.now() + Math.max(1000, waitMs),
    };
  }

  /** Signing out must never get stuck on the network: the cookie's session ends by itself if this fails. */
  async #tellServer(): Promise<void> {
    try {
      await postLogout(this.#http);
    } catch {
      // See above.
    }
  }
}
