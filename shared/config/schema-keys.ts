import { z } from 'zod';

/** The keys a schema knows at a place; for hints, and for the test that every key stands in the examples. */
export function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] {
  const [head, ...rest] = path;
  const keys = new Set<string>();
  for (const shape of shapesOf(schema)) {
    if (head === undefined) {
      if (shape instanceof z.ZodObject) Object.keys(shape.shape).forEach((key) => keys.add(key));
      continue;
    }
    const child = childOf(shape, head);
    if (child !== undefined) keysAt(child, rest).forEach((key) => keys.add(key));
  }
  return [...keys];
}

/** Every path of keys that can be written, list indexes left out; free names (records) stand as `*`. */
export function allKeyPaths(schema: z.core.$ZodType): readonly string[] {
  const paths = new Set<string>();
  const visit = (at: z.core.$ZodType, prefix: string): void => {
    for (const shape of shapesOf(at)) {
      if (shape instanceof z.ZodArray) visit(shape.element, prefix);
      if (shape instanceof z.ZodRecord) visit(shape.valueType, `${prefix}*.`);
      if (!(shape instanceof z.ZodObject)) continue;
      for (const [key, child] of Object.entries<z.core.$ZodType>(shape.shape)) {
        paths.add(`${prefix}${key}`);
        visit(child, `${prefix}${key}.`);
      }
    }
  };
  visit(schema, '');
  return [...paths];
}

function childOf(shape: z.core.$ZodType, key: PropertyKey): z.core.$ZodType | undefined {
  if (shape instanceof z.ZodObject) {
    const children: Readonly<Record<string, z.core.$ZodType>> = shape.shape;
    return children[String(key)];
  }
  if (shape instanceof z.ZodArray) return shape.element;
  return shape instanceof z.ZodRecord ? shape.valueType : undefined;
}

/** Through defaults, optionals, transforms and unions down to the shapes people write. */
function shapesOf(schema: z.core.$ZodType): z.core.$ZodType[] {
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  ) {
    return shapesOf(schema.unwrap());
  }
  if (schema instanceof z.ZodPipe) return shapesOf(schema.in);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap(shapesOf);
  return [schema];
}
