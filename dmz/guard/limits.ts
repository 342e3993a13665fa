import type { Protocol } from '#shared/login.ts';
import type { ConnectionStage } from './guard.ts';

/** The numbers of the edge. Each can be replaced when the guard is built, so that tests and admins own them. */
export interface GuardLimits {
  /** Failed first factors from one source in `failureWindowMs` before it is banned. */
  readonly failuresMax: number;
  readonly failureWindowMs: number;
  /** Breaches of a protocol by one source in `failureWindowMs` before it is banned. */
  readonly malformedMax: number;
  /** The first ban; each further one within a day of the last doubles, up to `banMsMax`. */
  readonly banMs: number;
  readonly banMsMax: number;
  /**
   * Failures that a password for a name counts which attackers try first: the fifth is one too many. A person who has
   * such a name mistypes that often in one go only at a place where they never signed in.
   */
  readonly baitWeight: number;
  /** Sources whose failures are remembered. Past it the one heard of longest ago is forgotten: ~2 KiB each. */
  readonly sourcesMax: number;
  readonly bansMax: number;
  /** A browser opens 6 connections; a whole office may sit behind one address. */
  readonly connectionsPerSourceMax: Readonly<Record<Protocol, number>>;
  /** SSH connections before their first factor, per source: clients that open several at once sign in on each. */
  readonly unauthenticatedPerSourceMax: number;
  /**
   * How many times a source's limit the networks around it may have, narrowest first. IPv6 /64, /56, /48: who has the
   * wider one has all sources in it, so it must not grow with their number. IPv4 address, /24: often the addresses of
   * one hoster's customer, sometimes those that a carrier lets thousands share.
   */
  readonly widerFactors: {
    readonly v4: readonly [1, number];
    readonly v6: readonly [1, number, number];
  };
  /** File descriptors and TLS/SSH state of one worker: ~100 KiB each at worst. */
  readonly connectionsMax: Readonly<Record<Protocol, number>>;
  /**
   * Connections in each stage before a session; strangers have these shares, and sources with a good login the same
   * once more. One that is silent lives as long as it takes 256 others to come, which at a thousand a second is still
   * the time that an honest hello needs. One with keys has to last while a person types a password.
   */
  readonly stageMax: Readonly<
    Record<Protocol, Readonly<Record<Exclude<ConnectionStage, 'session'>, number>>>
  >;
  /** Sources with a good login that are remembered: ~200 bytes each. */
  readonly knownSourcesMax: number;
  /** Of one user, the latest: a person moves between some places, and a stolen password must not make many known. */
  readonly knownSourcesPerUserMax: number;
  /** How long a good login is remembered; as long as main does. */
  readonly knownForMs: number;
  /**
   * SSH connections that wait for a code; they no longer fill the start-up limit. Four of a user: what a client that
   * moves files over parallel connections (FileZilla, WinSCP, rclone) opens at once, all answered with one code.
   */
  readonly awaitingCodePerSourceMax: number;
  readonly awaitingCodePerUserMax: number;
  /** Good logins of one user from one source: a burst, then one per `loginEveryMs`. */
  readonly loginBurst: number;
  readonly loginEveryMs: number;
}

/**
 * What one of several workers may have of what is bounded for the whole node. What is counted by source stays: a source
 * is one worker's.
 */
export function shareOf(limits: GuardLimits, workers: number): GuardLimits {
  const share = (whole: number): number => Math.max(1, Math.floor(whole / workers));
  const doors = ({ https, sftp }: GuardLimits['connectionsMax']) => ({
    https: share(https),
    sftp: share(sftp),
  });
  const stages = ({ silent, hello, secured, code }: GuardLimits['stageMax'][Protocol]) => ({
    silent: share(silent),
    hello: share(hello),
    secured: share(secured),
    code: share(code),
  });
  return {
    ...limits,
    connectionsMax: doors(limits.connectionsMax),
    stageMax: { https: stages(limits.stageMax.https), sftp: stages(limits.stageMax.sftp) },
    sourcesMax: share(limits.sourcesMax),
    bansMax: share(limits.bansMax),
    knownSourcesMax: share(limits.knownSourcesMax),
    knownSourcesPerUserMax: share(limits.knownSourcesPerUserMax),
  };
}

const minute = 60_000;
const hour = 60 * minute;

export const defaultGuardLimits: GuardLimits = {
  failuresMax: 15,
  failureWindowMs: 10 * minute,
  malformedMax: 20,
  banMs: 15 * minute,
  banMsMax: 24 * hour,
  baitWeight: 3,
  sourcesMax: 10_000,
  bansMax: 10_000,
  connectionsPerSourceMax: { https: 256, sftp: 64 },
  unauthenticatedPerSourceMax: 8,
  widerFactors: { v4: [1, 4], v6: [1, 2, 4] },
  connectionsMax: { https: 4096, sftp: 2048 },
  stageMax: {
    https: { silent: 256, hello: 256, secured: 1024, code: 1024 },
    sftp: { silent: 256, hello: 256, secured: 256, code: 256 },
  },
  knownSourcesMax: 10_000,
  knownSourcesPerUserMax: 16,
  knownForMs: 30 * 24 * hour,
  awaitingCodePerSourceMax: 8,
  awaitingCodePerUserMax: 4,
  loginBurst: 60,
  loginEveryMs: 1000,
};
