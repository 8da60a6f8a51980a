"""The cases: media and OpenAI chat messages, chosen so that each one can catch a fault the others cannot.

A case is a function of the media and of a question, and gives messages, or for a batch a list of messages.
`Media` writes each file once.
"""

import os

from pictures import save_picture, save_video
from sounds import save_sound


QUESTIONS = [
    "Read all the text.",
    "What color is the star?",
    "How many shapes are there?",
    "Describe the image.",
    "What is written in the second line?",
    "Is there a red circle in the image? Please answer yes or no.",
    "How many triangles are there?",
    "What color is the square?",
    "What is the total?",
    "Count the blue stars.",
]


def text(value):
    return {"type": "text", "text": value}


def user(*content):
    return {"role": "user", "content": list(content)}


class Media:
    """Writes a case's pictures and videos into a model's folder and returns the content parts that name them."""

    def __init__(self, folder, seed):
        self.folder, self.seed = folder, seed

    def image(self, name, size):
        path = os.path.join(self.folder, f"{name}.png")
        if not os.path.exists(path):
            self.seed += 1
            save_picture(path, size, self.seed)
        return {"type": "image_url", "image_url": {"url": f"{name}.png"}}

    def video(self, name, size, frames, **more):
        """`more`: further keys of the part, such as `fps`."""
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            self.seed += 1
            save_video(path, size, self.seed, frames)
        return {"type": "video_url", "video_url": {"url": name}, **more}

    def sound_file(self, name, samples):
        path = os.path.join(self.folder, f"{name}.wav")
        if not os.path.exists(path):
            self.seed += 1
            save_sound(path, samples, self.seed)
        return f"{name}.wav"

    def audio(self, name, samples):
        return {"type": "audio_url", "audio_url": {"url": self.sound_file(name, samples)}}


def one(media, question):
    """A portrait picture; both sides are rounded to the patch grid."""
    return [user(media.image("one-0", (97, 143)), text(question))]


def two(media, question, sizes=((196, 112), (60, 210))):
    """Text between two pictures: one above the pixel limit, one whose 7.5 cells must round to the even 8."""
    return [
        user(
            media.image("two-0", sizes[0]),
            text("And beside it:"),
            media.image("two-1", sizes[1]),
            text(question),
        )
    ]


def wide(media, question):
    """One row of cells: height and width cannot be confused."""
    return [user(media.image("wide-0", (400, 37)), text(question))]


def text_only(_, question):
    """No picture: plain positions; the content is a string, not a list."""
    return [{"role": "user", "content": question}]


def tiny(media, question):
    """A picture smaller than one patch in both directions."""
    return [user(media.image("tiny-0", (9, 11)), text(question))]


def video(media, question, size=(70, 60), frames=5, name="video-frames", **more):
    """Five frames: the last is repeated to fill its pair. Time outlasts space (3 steps, 2 x 2 cells)."""
    return [user(media.video(name, size, frames, **more), text(question))]


def image_video(media, question, **more):
    """A picture and a video of four frames, text between and after; only the video's pixel limit shrinks its frames."""
    return [
        user(
            media.image("image-video-0", (92, 61)),
            text("First the picture."),
            media.video("image-video-frames", (120, 90), 4, **more),
            text(question),
        )
    ]


def videos(media, question, rates=({}, {})):
    """Two short videos, one wide of three frames, one high of four, with a text and a picture between.

    `rates`: of each video what its part says beside its folder.
    """
    return [
        user(
            media.video("videos-0-frames", (62, 31), 3, **rates[0]),
            text("And then:"),
            media.image("turns-1", (31, 20)),
            media.video("videos-1-frames", (31, 62), 4, **rates[1]),
            text(question),
        )
    ]


def odd(media, question, size=(90, 81)):
    """Both sides are odd numbers of cells: no attention window but those inside is whole."""
    return [user(media.image("odd-0", size), text(question))]


def turns(media, question, size=(84, 120)):
    """Three messages; the second user turn brings a picture below the pixel limit, after its text."""
    return [
        user(media.image("turns-0", size), text("How many triangles are there?")),
        {"role": "assistant", "content": "2"},
        user(text(question), media.image("turns-1", (31, 20))),
    ]


def audio(media, question, samples=20700):
    """A sound of 130 frames: the last frame is not full, and of the 65 rows of the tower the last has no partner."""
    return [user(media.audio("audio-0", samples), text(question))]


def audios(media, question):
    """A sound of 131 frames and one of 4, which is a single row, with text between."""
    return [
        user(
            media.audio("audios-0", 20837),
            text("And then:"),
            media.audio("audios-1", 501),
            text(question),
        )
    ]


def audio_image(media, question):
    """A sound, then a picture: the positions of one follow those of the other."""
    return [user(media.audio("audio-0", 20700), media.image("odd-0", (90, 81)), text(question))]


def audio_turns(media, question):
    """The first user turn brings a picture, the second a sound after its text."""
    return [
        user(media.image("turns-1", (31, 20)), text("How many triangles are there?")),
        {"role": "assistant", "content": "2"},
        user(text(question), media.audio("audio-1", 9000)),
    ]


def sounding(media, question, size=(70, 60), frames=6, samples=42500, fps=1.0):
    """A video with its sound. At 1 frame a second its three steps are in three chunks of 2 s; the sound fills two."""
    sound = media.sound_file("sounding", samples)
    rate = {} if fps is None else {"fps": fps}
    return [user(media.video("sounding-frames", size, frames, **rate, audio=sound), text(question))]


def sounding_mix(media, question):
    """A sound alone, a picture, and a video whose sound is a single row.

    The end of the video's sound is at the second position of the video, whose fourth row of cells is at the fourth.
    """
    return [
        user(
            media.audio("audios-1", 501),
            media.image("turns-1", (31, 20)),
            text("And then:"),
            media.video("sounding-high-frames", (31, 120), 2, fps=2, audio=media.sound_file("sounding-mix", 900)),
            text(question),
        )
    ]


def audio_batch(media, question):
    """Four conversations: a sound; text; a system message, a picture and a sound; two sounds."""
    return [
        audio(media, question),
        [{"role": "user", "content": f"{question} Please answer with one word."}],
        [
            {"role": "system", "content": "Answer with one word."},
            user(media.image("turns-1", (31, 20)), text(question), media.audio("audio-1", 9000)),
        ],
        audios(media, question),
    ]


def batch(media, question, size=(70, 60), frames=5):
    """Three conversations of different lengths; the shorter ones are padded on the left by transformers."""
    return [
        [user(media.image("one-0", (97, 143)), text(question))],
        [{"role": "user", "content": f"{question} Please answer with one word."}],
        [
            {"role": "system", "content": "Answer with one word."},
            user(media.video("video-frames", size, frames), text(question), media.image("two-1", (60, 210))),
        ],
    ]


CASES = {
    "one": one,
    "two": two,
    "wide": wide,
    "tiny": tiny,
    "text": text_only,
    "video": video,
    "image-video": image_video,
    "videos": videos,
    "odd": odd,
    "turns": turns,
    "batch": batch,
    "audio": audio,
    "audios": audios,
    "audio-image": audio_image,
    "sounding": sounding,
    "sounding-mix": sounding_mix,
}
