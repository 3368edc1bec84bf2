"""SE-blocks by the paper's schedule (section IV-A c): 50 epochs, a learning rate of 0.01, times 0.86 after each epoch.

    mfst train paper --data DATA --weights WEIGHTS --out runs/siamfc
    mfst train paper --data DATA --weights runs/siamfc/last.safetensors --out runs/both --set model=alexnet

DATA is ILSVRC2015-VID, the paper's "ImageNet dataset", WEIGHTS hold both backbones, frozen. Each model is trained by
itself in the same manner. What the paper leaves open (batch size, pairs, loss) is as in the authors' code, like the
defaults. With torchvision's AlexNet, add `calibration_pairs=512`: the factors are for Caffe's.

The recipe has not been run to its end.
"""

from mfst_jax.train.recipe import Recipe

# Sec. IV-A c)
RECIPE = Recipe(
    model="siamfc",
    epochs=50,
    learning_rate=0.01,
    final_learning_rate=0.01 * 0.86**49,  # the last of 50 epochs
)
