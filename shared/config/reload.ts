/** What a reload came to, told as it is: nothing is said to be reloaded that did not change. */

interface Reload {
  /** What took effect. */
  readonly changed: readonly string[];
  /** Sections that were changed and count only after a restart. */
  readonly restart: readonly string[];
  /** What systemd handed over at the start, as it does once: what lies at its source by now is not seen. */
  readonly frozen: readonly string[];
}

/** Names of the top-level sections, as the file has them, in which two configurations differ. */
export function findChangedSections(before: object, now: object): string[] {
  const [old, fresh] = [new Map(Object.entries(before)), new Map(Object.entries(now))];
  return [...new Set([...old.keys(), ...fresh.keys()])]
    .filter((key) => JSON.stringify(old.get(key)) !== JSON.stringify(fresh.get(key)))
    .map((key) => key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
    .toSorted();
}

export function describeReload({ changed, restart, frozen }: Reload): string {
  return [
    changed.length === 0 ? 'reloaded: nothing had changed' : `reloaded: ${changed.join(', ')}`,
    ...(restart.length === 0 ? [] : [`changed, but only a restart takes it: ${restart.join(', ')}`]),
    ...(frozen.length === 0
      ? []
      : [
          `not looked at, for systemd handed it over at the start and a restart of the unit takes it: ${frozen.join(', ')}`,
        ]),
  ].join('; ');
}

/** A file that systemd copied when it started the unit; what lies at its source now is not seen. */
export function isFrozen(file: string | undefined, credentials: string | undefined): boolean {
  return credentials !== undefined && file?.startsWith(`${credentials}/`) === true;
}
