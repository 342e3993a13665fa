import { z } from 'zod';
import type { problemSchema } from '#shared/problem.ts';

/** What bodies of the public HTTP API are made of. */

/** RFC 3339, in UTC. */
export const time = z.iso.datetime();
/** Whole seconds. */
export const seconds = z.int().min(0);
/** Of things or of bytes. */
export const count = z.int().min(0);
/** `/a/b.bin`: names behind slashes, not escaped. `/` is the top. */
export const path = z.string().regex(/^\//);
export const protocol = z.enum(['https', 'sftp']);
export type Protocol = Shown<typeof protocol>;

/** What a refusal says. */
export type Problem = Shown<typeof problemSchema>;

/** What a body is to whoever writes or reads one: nobody changes it on its way. */
export type Shown<Schema extends z.ZodType> = Unchanging<z.output<Schema>>;
type Unchanging<T> = T extends readonly (infer Item)[]
  ? readonly Unchanging<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Unchanging<T[Key]> }
    : T;
