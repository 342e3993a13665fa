import { runProgram } from './clients/process.ts';
import { type Box, connect, openNetwork, type Place, startBox } from './box.ts';
import type { Guide } from './guide.ts';
import { waitUntil } from './product.ts';
import { readText } from '#test/repo/source-tree.ts';

/** The world of docs/install.md: a DMZ box between the Internet and a main node that nobody reaches. Takes root. */

export const outside = { dmz: '203.0.113.10', visitor: '203.0.113.99' };
export const inside = { dmz: '10.77.0.5', main: '10.77.0.10' };
/** A login, an upload: seconds. Starting two systemds and two nodes on a busy machine: many. */
export const patienceMs = 60_000;

export interface TwoBoxes {
  readonly dmz: Box;
  readonly main: Box;
  readonly internet: Place;
  /** What goes with the boxes, before them. */
  readonly places: Place[];
  close(): Promise<void>;
}

/** `packages`: the folder that both see at /mnt/packages. */
export async function openTwoBoxes(packages: string): Promise<TwoBoxes> {
  const places: Place[] = [];
  const keep = async <T extends Place>(place: Promise<T>): Promise<T> => {
    places.push(await place);
    return place;
  };
  const close = async (): Promise<void> => {
    // The last first: listeners are in the networks of the others.
    for (const place of places.toReversed()) await place.close();
  };
  try {
    const [dmz, main, internet] = await Promise.all([
      keep(startBox(packages)),
      keep(startBox(packages)),
      keep(openNetwork()),
    ]);
    await connect(
      { place: dmz, name: 'outer', address: `${outside.dmz}/24` },
      { place: internet, name: 'wire', address: `${outside.visitor}/24` },
    );
    await connect(
      { place: dmz, name: 'inner', address: `${inside.dmz}/24` },
      { place: main, name: 'lan', address: `${inside.main}/24` },
    );
    // There is a way out: what stays inside must be kept there.
    await dmz.shell(`ip route add default via ${outside.visitor}`);
    return { dmz, main, internet, places, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The rule files with the addresses of this network. */
export function writeRules(): { readonly D: string; readonly M: string } {
  return {
    D: setAddresses('configs/nftables/dmz.nft', {
      main_address: inside.main,
      link_address: inside.dmz,
      admin_addresses: '{ 10.77.1.0/24 }',
    }),
    M: setAddresses('configs/nftables/main-agent.nft', {
      dmz_networks: `{ ${inside.dmz}, ${outside.dmz} }`,
      admin_addresses: '{ 10.77.1.0/24 }',
    }),
  };
}

/** A rule file with what its administrator sets at the top. */
function setAddresses(file: string, values: Readonly<Record<string, string>>): string {
  return Object.entries(values).reduce((text, [name, value]) => {
    const changed = text.replace(new RegExp(`^define ${name} = .*$`, 'm'), `define ${name} = ${value}`);
    if (changed === text)
      throw new Error(`${file} does not define ${name}, or is for the test's own network`);
    return changed;
  }, readText(file));
}

export async function linkIsUp(dmz: Box): Promise<void> {
  await waitUntil(async () => {
    const asked = ['-s', '-o', '/dev/null', '-w', '%{http_code}', 'http://127.0.0.1:9464/readyz'];
    const { stdout } = await runProgram('nsenter', ['-t', String(dmz.pid), '-n', 'curl', ...asked]);
    return stdout === '200';
  }, patienceMs);
}

/** The lines that pair a DMZ node with main and start it, typed with the lines that they print. */
export async function addNode(guide: Guide): Promise<void> {
  const lineIn = (printed: string): string => `'${/^sallyport-(?:node|main)\/1 .*$/m.exec(printed)?.[0]}'`;
  const ofNode = await guide.run('sallyport node init');
  const ofMain = await guide.run('sallyport nodes enrol', { "'<pairing line>'": lineIn(ofNode) });
  await guide.run('sallyport node trust', { "'<main's line>'": lineIn(ofMain) });
  await guide.run('systemctl enable --now dmz');
}
