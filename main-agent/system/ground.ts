import type { MainAgentConfig } from '#main-agent/config.ts';
import type { Reread } from '#shared/config/reload.ts';
import type { Clock } from '#shared/clock.ts';
import type { Log } from '#shared/log.ts';
import type { InheritedSockets } from '#shared/process/inherited-sockets.ts';
import type { Reloads } from './reload.ts';

/** What main is given by the process it runs in. */
export interface MainAgentSurroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly inherited: InheritedSockets;
  /** $CREDENTIALS_DIRECTORY. */
  readonly credentials?: string;
  /** Where root leaves what it found on the box around main. */
  readonly watched?: string;
  /** $RENEWED_CREDENTIALS_DIRECTORY. */
  readonly renewed?: string;
  /** Where the configuration is, absolute; told to admins. */
  readonly configFile?: string;
  /** The configuration as it is on disk now, for a reload. */
  readonly reread: () => Promise<Reread<MainAgentConfig>>;
  /** A person's reason why an older state is in force now; such a one is refused without. */
  readonly acceptRestored?: string;
  /**
   * The state can't be written any more (S-14), or a node knows more than it holds: nobody may log in, the process must
   * end.
   */
  readonly onStateFailure: () => void;
}

/** What every start of main stands on. */
export interface Ground {
  /** A reload replaces what it takes: who needs that reads it when it is needed, or is told (`reloads`). */
  readonly config: MainAgentConfig;
  readonly around: MainAgentSurroundings;
  readonly startedAtMs: number;
  /** A log that names its part. */
  readonly part: (name: string) => Log;
  /** What was started puts its closing here. It is run from the last to the first, also when a later start fails. */
  readonly closing: AsyncDisposableStack;
  /** What can take another configuration while it runs says so here. */
  readonly reloads: Reloads;
}
