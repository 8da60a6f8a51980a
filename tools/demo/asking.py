"""What the training scripts share: pixels as the processor makes them, and further questions about a scene."""
import numpy as np
import scenes, speech

PATCH, MERGE = 14, 2
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32); STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)

def pixels(im):
    x = (np.asarray(im, np.float32) / 255 - MEAN) / STD; h, w = x.shape[0] // PATCH, x.shape[1] // PATCH
    x = x.transpose(2, 0, 1)[None].repeat(2, 0).reshape(1, 2, 3, h // MERGE, MERGE, PATCH, w // MERGE, MERGE, PATCH)
    return np.ascontiguousarray(x.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(h * w, -1)), (1, h, w)

def near(rng, objs):
    """A shape and a colour, half of the time one of the scene's, else mostly a near miss."""
    shape, color = rng.choice(objs); u = rng.random()
    if u > .5: color = rng.choice([o[1] for o in objs] if u < .7 else scenes.COLORS_L)
    if u > .85: shape = rng.choice(scenes.SHAPES)
    return shape, color

def more_questions(rng, objs, presence):
    """Presence questions, half of them true, most of the false ones near misses; and the colour of every shape that occurs once."""
    qa = []
    for _ in range(presence):
        shape, color = near(rng, objs)
        qa.append(("mme", f"Is there a {color} {shape} in the image? Please answer yes or no.", "yes" if (shape, color) in objs else "no"))
    kinds = [o[0] for o in objs]
    return qa + [("color", f"What color is the {k}?", c) for k, c in objs if kinds.count(k) == 1]

def target(rng, objs, sign):
    """What to say about a scene: a kind and its words, which are in the picture about half of the time."""
    kind = rng.choice(["shape", "shape", "object", "word"] if sign in speech.SIGNS else ["shape", "shape", "object"])
    if kind == "object": return (kind, *near(rng, objs)[::-1])
    if kind == "word": return kind, sign if rng.random() < .5 else rng.choice(speech.SIGNS)
    return kind, rng.choice(objs)[0] if rng.random() < .6 else rng.choice(speech.SHAPES)

def joint_scene(rng):
    """A sign whose word, if it shows one, is at times among those that are spoken."""
    every = scenes.WORDS; scenes.WORDS = speech.SIGNS if rng.random() < .6 else every
    im, qa = scenes.scene(rng, *rng.choice(scenes.SIZES[:3])); scenes.WORDS = every
    return im, qa, list(scenes.OBJECTS), qa[0][2].lower() if qa[0][0] == "text" else None
