import { z } from 'zod';

/** Values that many answers have. */

/** RFC 3339 in UTC. */
export const time = z.string().meta({ format: 'date-time' });
export const names = z.array(z.string());
/** The `cursor` of the next page; missing on the last one. */
export const next = z.string().optional();
