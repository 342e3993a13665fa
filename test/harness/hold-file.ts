/** Beside main's configuration: while it is there, a main that was started stays down. See `Product.holdMain`. */
export const holdFileName = 'hold-main';
