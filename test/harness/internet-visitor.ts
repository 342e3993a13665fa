/**
 * A user out there: run in the network of the Internet with one JSON argument, signs in for the first time, sets up an
 * authenticator, then does what the demo's self-check does, over both doors. Prints its results as JSON.
 */
import { runSelfCheck } from '#scripts/demonstration/self-check.ts';
import { z } from 'zod';
import { HttpsUser } from './https-user.ts';

const visit = z
  .object({
    origin: z.url(),
    ca: z.string(),
    sftp: z.object({ host: z.string(), port: z.number(), hostKey: z.string() }),
    username: z.string(),
    password: z.string(),
    localAddress: z.string(),
  })
  .parse(JSON.parse(process.argv[2] ?? ''));

const { origin, ca, sftp, username, password, localAddress } = visit;
const user = new HttpsUser(
  { site: { https: origin, files: { ca } }, localAddress, password: () => password },
  username,
);
const first = await user.signIn();
if (first.body['state'] !== 'setup-required') throw new Error(JSON.stringify(first));
const { app } = await user.setUp();
const nextCode = (): Promise<string> => app.next();
const results = await runSelfCheck({ https: origin, caFile: ca, sftp, username, password, nextCode });
process.stdout.write(JSON.stringify(results));
