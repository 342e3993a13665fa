import type { AnySession, FullSession } from '#main-agent/sessions/session.ts';
import type { Asker } from '#shared/link/asker.ts';
import type { LaneStream } from '#shared/link/lane-stream.ts';
import type { EventBody, EventName, Params, Result, StreamHeader, Verb } from '#shared/link/messages.ts';

/**
 * What main answers, as types: a verb's group decides what must be proven before its handler runs, so a handler
 * receives the proof and can't forget to ask for it (S-04, S-05). `dispatch.ts` looks sessions up and calls these.
 *
 * `asker` is who waits for the answer; without one somebody always does.
 */

/** One DMZ worker's joined control link. */
export interface NodeLink {
  /** Name under which main pinned this node's identity. */
  readonly node: string;
  readonly worker: number;
  /** Counts up each time this worker's link (re)joins. */
  readonly epoch: number;
  /** TLS exporter value of the control connection, base64url. */
  readonly exporter: string;
  /** Aborts when the node's process behind this link is no more, or has been away too long. */
  readonly processGone: AbortSignal;
  /** The node's own `validated_logins`, from its hello. */
  readonly validatedLogins: boolean;
  /** Else what is sent is lost. */
  readonly isOpen: boolean;
  send<E extends EventName>(event: E, body: EventBody<E>): void;
  close(reason: string): void;
}

/** Of the node itself: its link says which one. */
export type HostKeyVerb = VerbIn<'hostkey'>;
export type HostKeyHandlers = {
  readonly [V in HostKeyVerb]: (params: Params<V>, link: NodeLink, asker?: Asker) => Promise<Result<V>>;
};

type VerbIn<Prefix extends string> = Extract<Verb, `${Prefix}.${string}`>;
export type LoginVerb = VerbIn<'login'>;
export type SessionVerb = VerbIn<'session'> | 'account.view' | VerbIn<'enrol'>;
export type AccountVerb = Exclude<VerbIn<'account'>, SessionVerb>;
export type FileVerb = VerbIn<'fs'>;

export type LoginHandlers = {
  readonly [V in LoginVerb]: (params: Params<V>, link: NodeLink, asker?: Asker) => Promise<Result<V>>;
};
export type SessionHandlers = {
  readonly [V in SessionVerb]: (
    params: Params<V>,
    session: AnySession,
    link: NodeLink,
    asker?: Asker,
  ) => Promise<Result<V>>;
};
/** Own account: for full sessions of the web; over SFTP there is nothing of it. */
export type AccountHandlers = {
  readonly [V in AccountVerb]: (
    params: Params<V>,
    session: FullSession,
    link: NodeLink,
    asker?: Asker,
  ) => Promise<Result<V>>;
};
export type FileHandlers = {
  readonly [V in FileVerb]: (
    params: Params<V>,
    session: FullSession,
    link: NodeLink,
    asker?: Asker,
  ) => Promise<Result<V>>;
};
/** A stream the DMZ opened on a lane, after its header was checked and its session found. */
export type StreamHandler = (
  header: StreamHeader,
  stream: LaneStream,
  session: FullSession,
  link: NodeLink,
) => void;
