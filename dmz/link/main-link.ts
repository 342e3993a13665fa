import type { LaneStream } from '#shared/link/lane-stream.ts';
import type {
  DoorFinding,
  DoorQuestion,
  EventBody,
  OtherMain,
  Params,
  Policy,
  Result,
  StreamHeader,
  Verb,
} from '#shared/link/messages.ts';
import type { RequestOptions } from '#shared/link/requests.ts';

import type { EdgeReport } from './edge-reports.ts';
import type { TlsFromMain } from './tls-from-main.ts';

/** Which process of main holds a link, and from where. */
export interface MainHolder {
  readonly boot: string;
  readonly from: OtherMain;
}

/** What an assertion is bound to: the one link it is sent on. */
export interface LinkBinding {
  /** TLS exporter value of the control connection, label EXPORTER-sallyport-link-v1, base64url. */
  readonly exporter: string;
  /** Main's name: the assertion's `aud`. */
  readonly mainName: string;
}

/**
 * The DMZ's view of main: what every front door uses, and all it can use (S-06: nothing here dials). There is one per
 * worker; links come and go below it. Implemented in `listener.ts`.
 */
export interface MainLink {
  readonly isUp: boolean;
  /** Latest policy main pushed; the built-in strict one before the first push. */
  readonly policy: Policy;
  /** Certificate and challenges, where main has them from an authority. */
  readonly tls: TlsFromMain;
  /** Public halves of the SSH host keys that main has for this node; none before it told. */
  readonly hostKeys: EventBody<'hostkeys'>['keys'];

  /**
   * Sends a request and resolves with its checked result. Rejects with the SallyportError main answered, or
   * `link-down` / `deadline` / `busy`. A function as params is given the binding of the very link it will be sent on.
   */
  request<V extends Verb>(
    verb: V,
    params: Params<V> | ((binding: LinkBinding) => Promise<Params<V>>),
    options?: Partial<RequestOptions>,
  ): Promise<Result<V>>;

  /** Opens a byte stream on the least busy lane. Throws `link-down` when there is none. */
  openStream(header: StreamHeader): LaneStream;

  /**
   * Resolves when there is a lane: a link is up before its lanes are, and may lose them all and live. Rejects like a
   * request that waits for a link.
   */
  waitForLane(session: string): Promise<void>;

  /**
   * Calls once, before a file whose content was told at its open is changed, or when the link is lost and nobody would
   * say. Returns its unsubscribe.
   */
  holdContent(handle: number, onChanging: () => void): () => void;

  /** Tells main about something at the edge, now or when it is back. Bounded: what is beyond is counted and told. */
  report(report: EdgeReport): void;

  /** Tells main what of this node is not well, now or when it is back; what was said before counts no more. */
  tellHealth(findings: EventBody<'node.health'>['findings']): void;
  /** From where another main with the same key was turned away in the last minutes. */
  readonly otherMain: string | undefined;

  /** What main is told when an admin asks how an address stands; all who answer are asked. Returns its unsubscribe. */
  onDoorAsked(answer: (question: DoorQuestion) => readonly DoorFinding[]): () => void;

  /** Each returns its own unsubscribe. */
  onUp(listener: () => void): () => void;
  onDown(listener: () => void): () => void;
  onPolicy(listener: (policy: Policy) => void): () => void;
  onSessionEnded(listener: (sessionKey: string, reason: string) => void): () => void;
}
