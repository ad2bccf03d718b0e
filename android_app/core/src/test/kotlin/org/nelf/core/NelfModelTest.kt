package org.nelf.core

import org.junit.Test
import java.nio.FloatBuffer
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class NelfModelTest {
    private val image = FloatBuffer.allocate(12)
    private val pose = poseOf(0.5f)

    @Test
    fun `the first accelerator that runs is taken`() {
        val npu = FakeSession()
        val model = NelfModel.load(FakeRuntime(Accelerator.NPU to npu, Accelerator.CPU to FakeSession()), pose, image)
        assertEquals(Accelerator.NPU, model.accelerator)
        assertEquals(emptyList(), model.passedOver)
        assertEquals(1, npu.runs, "it has rendered before it counts as loaded")
        assertEquals(0.5f, image.get(11))
    }

    @Test
    fun `every fallback keeps its reason`() {
        val broken = FakeSession { throw ModelException("the driver lost the device") }
        val runtime = FakeRuntime(Accelerator.GPU to broken, Accelerator.CPU to FakeSession())
        val model = NelfModel.load(runtime, pose, image)
        assertEquals(Accelerator.CPU, model.accelerator)
        val reasons = listOf("no driver for npu", "the driver lost the device")
        assertEquals(reasons, model.passedOver.map { it.reason })
        assertEquals(listOf(Accelerator.NPU, Accelerator.GPU), model.passedOver.map { it.accelerator })
        assertTrue(broken.closed, "what failed is released")
    }

    @Test
    fun `an accelerator that renders no numbers is passed over`() {
        val wrong = FakeSession()
        val runtime = FakeRuntime(Accelerator.GPU to wrong, Accelerator.CPU to FakeSession())
        val order = listOf(Accelerator.GPU, Accelerator.CPU)
        val error = assertFailsWith<ModelException> { NelfModel.load(runtime, poseOf(Float.NaN), image, order) }
        assertTrue("GPU: it renders values that are no numbers; CPU: it renders" in error.message.orEmpty())
        assertTrue(wrong.closed)
    }

    @Test
    fun `a chosen accelerator has no fallback`() {
        val runtime = FakeRuntime(Accelerator.CPU to FakeSession())
        val error =
            assertFailsWith<ModelException> { NelfModel.load(runtime, pose, image, listOf(Accelerator.GPU)) }
        assertEquals("no accelerator runs this model: GPU: no driver for gpu", error.message)
        assertEquals(listOf(Accelerator.GPU), runtime.tried)
    }
}
