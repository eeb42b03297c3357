/* sparse/order_hilbert.c: the 3D Hilbert curve as a walk over a box (sparse/order_make.h).
 *
 * J. Skilling, "Programming the Hilbert curve" (AIP Conf. Proc. 707, 2004) encodes a point by
 * inverting and exchanging the low bits of its coordinates, level by level, and Gray-decoding what
 * results. What one level does to the bits below it is a permutation of the axes with signs; here
 * that is kept as a state, so that the eight octants of a cell can be listed in curve order.
 */
#include "sparse/order_make.h"

int32_t fili_curve_levels(fili_grid box)
{
    const int32_t fh   = box.f > box.h ? box.f : box.h;
    const int32_t side = fh > box.w ? fh : box.w;
    int32_t       bits = 0;
    while (bits < FILI_CURVE_LEVELS && (int64_t)1 << bits < side)
        bits++;
    return bits;
}

void fili_curve_begin(fili_curve *curve, fili_grid box, int32_t levels, fili_curve_state state)
{
    curve->box[0]  = box.f;
    curve->box[1]  = box.h;
    curve->box[2]  = box.w;
    curve->levels  = levels;
    curve->depth   = 0;
    curve->node[0] = (fili_curve_node){.state = state};
}

/* Bit i: the transformed coordinate bit of slot i in octant number `octant` of the curve, the Gray
 * code undone. Slot 0 is the most significant digit. */
static unsigned gray_bits(unsigned octant, unsigned parity)
{
    const unsigned high = octant >> 2 & 1;
    const unsigned mid  = octant >> 1 & 1;
    const unsigned low  = octant & 1;
    return (high ^ parity) | (mid ^ high) << 1 | (low ^ mid) << 2;
}

/* What a level with these bits does to the levels below: invert slot 0, or exchange it with slot i.
 */
static fili_curve_state descend(fili_curve_state s, unsigned bits, unsigned parity)
{
    s.flip = (uint8_t)(s.flip ^ (bits & 1u));
    for (unsigned i = 1; i < 3; i++) {
        if ((bits >> i & 1) != 0) {
            s.flip ^= 1u;
            continue;
        }
        const uint8_t  axis   = s.axis[0];
        const unsigned flip   = s.flip;
        const unsigned differ = (flip ^ flip >> i) & 1u;
        s.axis[0]             = s.axis[i];
        s.axis[i]             = axis;
        s.flip                = (uint8_t)(flip ^ (differ | differ << i));
    }
    s.parity = (uint8_t)parity;
    return s;
}

/* The child's corner in *origin; false if it lies outside the box. */
static bool enter(const fili_curve *curve, const fili_curve_node *node, unsigned bits,
                  int32_t origin[3])
{
    const fili_curve_state *s     = &node->state;
    const int32_t           level = curve->levels - 1 - curve->depth;
    for (int i = 0; i < 3; i++) {
        const int     axis = s->axis[i];
        const int32_t bit  = (int32_t)((bits >> i ^ (unsigned)s->flip >> i) & 1u);
        origin[axis]       = node->origin[axis] | bit << level;
        if (origin[axis] >= curve->box[axis]) return false;
    }
    return true;
}

static bool only_cell(fili_curve *curve)
{
    curve->at[0] = curve->at[1] = curve->at[2] = 0;
    curve->state                               = curve->node[0].state;
    curve->depth                               = -1;
    return true;
}

bool fili_curve_next(fili_curve *curve)
{
    if (curve->levels == 0 && curve->depth == 0) return only_cell(curve);
    while (curve->depth >= 0) {
        fili_curve_node *node = &curve->node[curve->depth];
        if (node->next == 8) {
            curve->depth--;
            continue;
        }
        const unsigned octant = (unsigned)node->next++;
        const unsigned bits   = gray_bits(octant, node->state.parity);
        if (curve->depth == curve->levels - 1) {
            if (!enter(curve, node, bits, curve->at)) continue;
            curve->state = descend(node->state, bits, octant & 1);
            return true;
        }
        fili_curve_node *child = node + 1;
        if (!enter(curve, node, bits, child->origin)) continue;
        child->state = descend(node->state, bits, octant & 1);
        child->next  = 0;
        curve->depth++;
    }
    return false;
}

void fili_make_hilbert(fili_grid grid, fili_curve_state state, int32_t *order)
{
    const int32_t levels = fili_curve_levels(grid);
    fili_curve    c;
    size_t        i = 0;
    fili_curve_begin(&c, grid, levels > 0 ? levels : 1, state);
    while (fili_curve_next(&c))
        order[i++] = (c.at[0] * grid.h + c.at[1]) * grid.w + c.at[2];
}
