import { z } from 'zod';

/** The JSON Schema editors use for a YAML file: what people write, before defaults and units are applied. */
export function buildEditorSchema(schema: z.ZodType, title: string): string {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', target: 'draft-7' });
  return `${JSON.stringify({ title, ...json }, null, 2)}\n`;
}
