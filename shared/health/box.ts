import { existsSync, readFileSync, statSync } from 'node:fs';

/**
 * The box around a node, as its administrator sees it: what systemd hands the unit, which sockets it holds, whether the
 * firewall is loaded, whether the clock follows one. Only looked at by root's commands, never by the node's process.
 *
 * Trust: answers of this box's own programs.
 */

export interface Answer {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program of the system; undefined: there is none of that name. */
export type Run = (command: string, args: readonly string[]) => Answer | undefined;

/** What was seen, or why nothing was. */
export type Seen<T> = { readonly seen: T } | { readonly unseen: string };

interface UnitState {
  readonly id: string;
  readonly active: string;
  /** Why it is not active: `exit-code`, `resources`, … */
  readonly result: string;
  readonly startsAtBoot: boolean;
  readonly needsDaemonReload: boolean;
  /** 0: it does not run. */
  readonly startedAtMs: number;
  readonly mainPid: number;
  readonly readWritePaths: readonly string[];
  /** Of a socket unit. */
  readonly socketName: string;
  readonly listens: readonly string[];
}

export interface UnitFacts extends UnitState {
  /** By name, where systemd takes them from: the unit and its drop-ins together. */
  readonly credentials: ReadonlyMap<string, string>;
  /** Names that are handed over and not there, with where they should be. */
  readonly missing: ReadonlyMap<string, string>;
  /** Names whose file was changed after the start: systemd copies it then, once. */
  readonly newer: readonly string[];
  readonly sockets: readonly UnitState[];
}

interface FirewallFacts {
  readonly isLoaded: boolean;
  /** Hooks whose chain of the table lets through what no rule names, where ours drop it. */
  readonly open: readonly string[];
  /** Whether a restart of the box loads it again. */
  readonly isPersistent: boolean;
}

export interface BoxFacts {
  /** `dmz` or `main-agent`. */
  readonly side: string;
  readonly unit: Seen<UnitFacts>;
  readonly firewall: Seen<FirewallFacts>;
  readonly clock: Seen<{ readonly isSynchronized: boolean }>;
}

/** What systemd tells of times is in whole seconds. */
const secondMs = 1_000;

const properties =
  'Id,LoadState,ActiveState,ActiveEnterTimestamp,Result,UnitFileState,NeedDaemonReload,MainPID,ReadWritePaths,FileDescriptorName,Listen';

interface Files {
  readonly read: (file: string) => string | undefined;
  readonly exists: (file: string) => boolean;
  readonly changedAtMs: (file: string) => number | undefined;
}

export function lookAtBox(
  side: 'dmz' | 'main-agent',
  run: Run,
  files: Files = { read: readText, exists: existsSync, changedAtMs },
): BoxFacts {
  const unit = lookAtUnit(side, run, files);
  return {
    side,
    unit,
    // A node that somebody started by hand, to try it, has no box of its own to close.
    firewall: 'unseen' in unit ? unit : lookAtFirewall(side, run, files),
    clock: lookAtClock(run),
  };
}

function lookAtUnit(side: string, run: Run, files: Files): Seen<UnitFacts> {
  const unit = `${side}.service`;
  const shown = run('systemctl', ['show', unit, '--timestamp=unix', `--property=${properties}`]);
  if (shown?.status !== 0) return { unseen: 'systemctl can not be asked here' };
  const [state] = parseUnits(shown.stdout);
  if (state === undefined) return { unseen: `${unit} is not installed here` };
  const text = run('systemctl', ['cat', unit])?.stdout ?? '';
  const credentials = parseCredentials(text);
  const sockets = run('systemctl', ['show', `${side}-*.socket`, '--all', `--property=${properties}`]);
  return {
    seen: {
      ...state,
      credentials,
      missing: new Map([...credentials].filter(([, file]) => file.startsWith('/') && !files.exists(file))),
      newer: [...credentials]
        .filter(
          ([, file]) =>
            state.startedAtMs > 0 && (files.changedAtMs(file) ?? 0) > state.startedAtMs + secondMs,
        )
        .map(([name]) => name),
      sockets: parseUnits(sockets?.stdout ?? ''),
    },
  };
}

/** `systemctl show`: a block of `Key=value` for each unit. Those that are not there are left out. */
function parseUnits(text: string): UnitState[] {
  return text
    .split(/\n\n+/)
    .map((block) => {
      const values = new Map<string, string[]>();
      for (const line of block.split('\n')) {
        const at = line.indexOf('=');
        if (at === -1) continue;
        const key = line.slice(0, at);
        values.set(key, [...(values.get(key) ?? []), line.slice(at + 1)]);
      }
      return values;
    })
    .filter((values) => values.get('LoadState')?.[0] === 'loaded')
    .map((values) => {
      const one = (key: string): string => values.get(key)?.[0] ?? '';
      return {
        id: one('Id'),
        active: one('ActiveState'),
        result: one('Result'),
        startsAtBoot: one('UnitFileState') !== 'disabled',
        needsDaemonReload: one('NeedDaemonReload') === 'yes',
        startedAtMs:
          one('ActiveState') === 'active' ? 1_000 * Number(one('ActiveEnterTimestamp').slice(1)) || 0 : 0,
        mainPid: Number(one('MainPID')) || 0,
        readWritePaths: one('ReadWritePaths')
          .split(' ')
          .filter((path) => path !== '')
          .map((path) => path.replace(/^[-+]+/, '')),
        socketName: one('FileDescriptorName'),
        listens: (values.get('Listen') ?? []).map((line) => line.replace(/ \(.*\)$/, '')),
      };
    });
}

/** Of the unit and its drop-ins, as `systemctl cat` prints them one after the other: `show` calls them unprintable. */
function parseCredentials(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, key = '', value = ''] of text.matchAll(
    /^(LoadCredential|LoadCredentialEncrypted|SetCredential|SetCredentialEncrypted)=(.*)$/gm,
  )) {
    if (value === '') {
      // An empty one takes back all of its kind.
      found.clear();
      continue;
    }
    const [name = '', source = ''] = value.split(/:(.*)/s);
    found.set(name, key.startsWith('Set') ? '' : source || name);
  }
  return found;
}

const rulesFile = '/etc/nftables.conf';

function lookAtFirewall(side: string, run: Run, { read }: Files): Seen<FirewallFacts> {
  const listed = run('nft', ['-j', 'list', 'table', 'inet', 'sallyport']);
  if (listed === undefined) return { unseen: 'there is no nft here' };
  const isLoaded = listed.status === 0;
  if (!isLoaded && !listed.stderr.includes('No such file'))
    return { unseen: `nft can not be asked: ${listed.stderr.split('\n')[0] ?? ''}` };
  const rules = read(rulesFile) ?? '';
  const isIncluded = new RegExp(`^\\s*include\\s+"[^"]*${side}\\.nft"`, 'm').test(rules);
  const isEnabled = run('systemctl', ['is-enabled', 'nftables'])?.stdout.trim() === 'enabled';
  return {
    seen: {
      isLoaded,
      open: isLoaded ? listOpenHooks(listed.stdout) : [],
      isPersistent: isEnabled && (isIncluded || /\binet sallyport\b/.test(rules)),
    },
  };
}

/** Chains of what comes in and through: on both boxes these drop what no rule names. */
function listOpenHooks(json: string): string[] {
  const told: unknown = JSON.parse(json);
  const entries: unknown[] =
    typeof told === 'object' && told !== null && 'nftables' in told && Array.isArray(told.nftables)
      ? told.nftables
      : [];
  const closed = new Set(
    entries.flatMap((entry) => {
      if (typeof entry !== 'object' || entry === null || !('chain' in entry)) return [];
      const { chain } = entry;
      if (typeof chain !== 'object' || chain === null || !('hook' in chain) || !('policy' in chain))
        return [];
      return chain.policy === 'drop' ? [chain.hook] : [];
    }),
  );
  return ['input', 'forward'].filter((hook) => !closed.has(hook));
}

function lookAtClock(run: Run): Seen<{ readonly isSynchronized: boolean }> {
  const told = run('timedatectl', ['show', '--property=NTPSynchronized', '--value']);
  if (told?.status !== 0) return { unseen: 'timedatectl can not be asked here' };
  return { seen: { isSynchronized: told.stdout.trim() === 'yes' } };
}

function changedAtMs(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs;
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
