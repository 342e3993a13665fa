import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildDemoUser } from '#test/harness/demo-user.ts';
import { startProduct } from '#test/harness/product.ts';
import { laneCount, type Server } from './server.ts';

/** People of their own for each lane, so that no row meets the bounds of a person because of another. */
const usernames = Array.from({ length: laneCount }, (_, index) => `walker${index}`);

/** The product as it runs, and people who sign in with a password alone. */
export async function startDoor(): Promise<Server> {
  const product = await startProduct({ moreUsers: usernames.map((name) => buildDemoUser(name)) });
  const { port } = product.site.sftp;
  return {
    lanes: usernames.map((username) => {
      const files = join(product.site.files.files, username);
      mkdirSync(files, { recursive: true });
      return { login: { port, username, password: product.password(username) }, files, prefix: '' };
    }),
    close: () => product.close(),
  };
}
