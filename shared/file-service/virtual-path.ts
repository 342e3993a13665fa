import { SallyportError } from '#shared/error.ts';

/**
 * A path as a user sees it: absolute, already split, already checked. There is no other way to name a file past a
 * front door (S-08). The empty list is the root.
 *
 * Trust: `parseVirtualPath` and `requireComponents` read strangers' strings; the link carries components and main
 * checks them again with the same function.
 */
export class VirtualPath {
  readonly components: readonly string[];

  private constructor(components: readonly string[]) {
    this.components = components;
  }

  static readonly root = new VirtualPath([]);

  /** @internal Only for the checked constructors of this module. */
  static fromChecked(components: readonly string[]): VirtualPath {
    return new VirtualPath(components);
  }

  get isRoot(): boolean {
    return this.components.length === 0;
  }

  /** Last component; empty for the root. */
  get name(): string {
    return this.components.at(-1) ?? '';
  }

  /** The folder that holds it; the root is its own parent. */
  get parent(): VirtualPath {
    return new VirtualPath(this.components.slice(0, -1));
  }

  child(untrustedName: string): VirtualPath {
    return requireComponents([...this.components, untrustedName]);
  }

  isWithin(ancestor: VirtualPath): boolean {
    return ancestor.components.every((component, index) => this.components[index] === component);
  }

  /** What `inner` (within this path) is called when this path is called `target`. */
  rebase(inner: VirtualPath, target: VirtualPath): VirtualPath {
    return new VirtualPath([...target.components, ...inner.components.slice(this.components.length)]);
  }

  toString(): string {
    return `/${this.components.join('/')}`;
  }
}

/** POSIX NAME_MAX: no file system we serve stores a longer name. */
export const componentBytesMax = 255;
/** POSIX PATH_MAX: longer paths can't be opened by name anywhere else either. */
export const pathBytesMax = 4096;
/** Deeper trees are an attack on recursion and on per-component opens, not somebody's files. */
export const pathComponentsMax = 256;

const windowsReserved = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)/i;
// C0, DEL, C1, line/paragraph separators, and U+FFFD (a lossy decoding: two names would become one).
// oxlint-disable-next-line no-control-regex -- these are the very characters that must not pass
const unwritable = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufffd]/;
// What turns the text behind it around, so that `gpj.exe` reads as `exe.jpg`. The marks U+200E and U+200F only say
// which way a neighbour goes, and stand in ordinary Arabic and Hebrew names.
const turning = /[\u202a-\u202e\u2066-\u2069]/;

/** `why` is for the person who chose the name. */
function refuse(why: string, detail = why): never {
  throw new SallyportError('bad-path', `That name is not served here: ${why}`, { detail });
}

function requireComponent(name: string): string {
  if (name === '' || name === '.' || name === '..')
    refuse('it is empty or only dots', `component ${JSON.stringify(name)}`);
  if (name.includes('/')) refuse('it has a slash in it');
  if (unwritable.test(name) || !name.isWellFormed()) refuse('it has control characters or no readable text');
  if (turning.test(name)) refuse('it has characters that turn the text around');
  if (Buffer.byteLength(name) > componentBytesMax) refuse(`it is longer than ${componentBytesMax} bytes`);
  if (windowsReserved.test(name)) refuse('Windows keeps it for a device');
  if (/[. ]$/.test(name)) refuse('it ends in a dot or a space');
  return name;
}

/** unknown components → VirtualPath, or `bad-path`. Components are taken as they are: no unescaping, no NFC. */
export function requireComponents(untrusted: readonly string[]): VirtualPath {
  if (untrusted.length > pathComponentsMax) refuse(`it has more than ${pathComponentsMax} folders`);
  let bytes = 0;
  for (const component of untrusted) {
    requireComponent(component);
    bytes += Buffer.byteLength(component) + 1;
  }
  if (bytes > pathBytesMax) refuse(`with its folders it is longer than ${pathBytesMax} bytes`);
  return VirtualPath.fromChecked([...untrusted]);
}

/**
 * A slash-separated string → VirtualPath. Relative strings start at the root; empty and `.` components vanish, `..`
 * climbs lexically and stops at the root (SFTP REALPATH semantics, draft-ietf-secsh-filexfer-02 §6.11).
 */
export function parseVirtualPath(untrustedPath: string): VirtualPath {
  // Before any split: an overlong string must not cost a list of its pieces.
  if (untrustedPath.length > pathBytesMax) refuse(`with its folders it is longer than ${pathBytesMax} bytes`);
  const components: string[] = [];
  for (const part of untrustedPath.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') components.pop();
    else components.push(part);
  }
  return requireComponents(components);
}
