import { z } from 'zod';
import { reasonCharactersMax } from './limits.ts';

/** Why an admin does it; it stands in the audit. */
export const reason = z.string().trim().min(3, 'say why').max(reasonCharactersMax);
